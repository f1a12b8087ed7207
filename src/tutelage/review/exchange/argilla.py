"""Argilla's exports: records as `Record.to_dict`, `records.to_dict`, `to_list` and `to_datasets` make them.

Nested records have `fields`, `responses` (by question a list of `value` and `user_id`) and `suggestions`.
Flattened ones, also the columns of a data set, have a column a field, and for each question `Q.responses`,
`Q.responses.users`, `Q.responses.status` and `Q.suggestion`. `to_dict` turns either into columns, or keys it
by id. What the server sends has its responses as a list, with `values` by question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.data.rows import Row
from tutelage.review.exchange.export import About, Export, LeftOut, Piece, Said, Span, Unread, listed, text_of

NAME = "argilla"
_RESPONSES, _USERS, _STATUS = ".responses", ".responses.users", ".responses.status"
_SUGGESTION = ".suggestion"
_LEFT = {"draft": LeftOut.DRAFT, "pending": LeftOut.DRAFT, "discarded": LeftOut.DISCARDED}


@dataclass(frozen=True, slots=True)
class _Response:
    user: str
    question: str
    value: Any
    status: str


def is_record(cells: Mapping[str, Any]) -> bool:
    """Whether an object is a record, or holds many as columns or by id."""
    if "fields" in cells and "responses" in cells:
        return True
    if any(name.endswith(_USERS) for name in cells):
        return True
    return bool(cells) and all(
        isinstance(inner, Mapping) and "fields" in inner and "responses" in inner for inner in cells.values()
    )


def read(rows: Iterable[Row], column: str) -> Export:
    """Read any of them; `column` is what the prompt's text is probably called."""
    export = Export(NAME)
    for row in rows:
        try:
            if row.fault is not None:
                raise ValueError(row.fault)
            records = list(_records(row.cells))
        except ValueError as error:
            export.rows += 1
            export.faults.append((export.rows, str(error)))
            continue
        for record in records:
            export.rows += 1
            try:
                _take(export, export.rows, record, column)
            except (ValueError, RecursionError) as error:
                export.faults.append((export.rows, str(error)))
    return export


def _records(cells: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The records of an object: itself, or those that it has as columns, or by id."""
    is_flat = any(name.endswith(_USERS) for name in cells)
    if isinstance(cells.get("fields"), list) or (is_flat and isinstance(cells.get("id"), list)):
        columns = {name: cell for name, cell in cells.items() if isinstance(cell, list)}
        for place in range(max(map(len, columns.values()))):
            yield {name: cell[place] for name, cell in columns.items() if place < len(cell)}
    elif is_flat or "fields" in cells:
        yield cells
    else:
        for id_, inner in cells.items():
            if not isinstance(inner, Mapping):
                raise ValueError(f"{str(id_)[:40]!r} holds {type(inner).__name__}, not a record")
            yield {"id": id_, **inner}


def _take(export: Export, number: int, record: Mapping[str, Any], column: str) -> None:
    data, metadata = _data(record)
    export.left_out[LeftOut.SUGGESTION] += _suggestions(record)
    answers: dict[str, dict[str, Any]] = defaultdict(dict)
    left: dict[str, LeftOut] = {}
    for response in _responses(record):
        if response.status in _LEFT:
            left[response.user] = _LEFT[response.status]
        elif response.value is not None:
            answers[response.user][response.question] = response.value
            export.unsure += not response.status
    export.left_out.update(left.values())
    if not answers:
        export.left_out[LeftOut.EMPTY] += not left
        return
    text = text_of(data, column)
    known = About.of({**metadata, "id": record.get("external_id") or record.get("id")})
    for user, given in answers.items():
        pieces = {question: _pieces(value, text) for question, value in given.items()}
        export.take(Said(number, text, f"{NAME} {user}" if user else "", pieces, known))


def _data(record: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The fields, and the metadata; a flattened record doesn't tell them apart."""
    fields = record.get("fields")
    if isinstance(fields, Mapping):
        metadata = record.get("metadata")
        return fields, metadata if isinstance(metadata, Mapping) else {}
    flat = {name: cell for name, cell in record.items() if "." not in name and name not in _OWN}
    return flat, flat


_OWN = ("id", "status", "_server_id", "score", "responses", "suggestions", "vectors", "metadata")


def _suggestions(record: Mapping[str, Any]) -> int:
    given = record.get("suggestions")
    if isinstance(given, Mapping | list):
        return len(given)
    return sum(name.endswith(_SUGGESTION) and cell is not None for name, cell in record.items())


def _responses(record: Mapping[str, Any]) -> list[_Response]:
    given = record.get("responses")
    if isinstance(given, list):
        return [found for response in given for found in _of_server(response)]
    if isinstance(given, Mapping):
        return [
            _Response(_user(response), question, response.get("value"), str(response.get("status") or ""))
            for question, responses in given.items()
            for response in listed(responses, f"the responses to {question!r}")
            if isinstance(response, Mapping)
        ]
    return [
        found
        for name in record
        if name.endswith(_RESPONSES)
        for found in _of_columns(record, name.removesuffix(_RESPONSES))
    ]


def _of_server(response: Any) -> Iterator[_Response]:
    if not isinstance(response, Mapping):
        raise ValueError(f"a response is {type(response).__name__}, not an object")
    user, status = _user(response), str(response.get("status") or "")
    values = response.get("values")
    if not isinstance(values, Mapping) or not values:
        yield _Response(user, "", None, status)
        return
    for question, inner in values.items():
        value = inner.get("value") if isinstance(inner, Mapping) else inner
        yield _Response(user, question, value, status)


def _of_columns(record: Mapping[str, Any], question: str) -> Iterator[_Response]:
    values, users, statuses = (record.get(question + end) for end in (_RESPONSES, _USERS, _STATUS))
    if values is None:
        return
    if not isinstance(values, list) or not isinstance(users, list) or len(users) != len(values):
        raise ValueError(
            f"{question + _RESPONSES!r} and {question + _USERS!r} aren't lists of one length, which CSV "
            "can't hold; export as JSON or Parquet"
        )
    known = statuses if isinstance(statuses, list) and len(statuses) == len(values) else [None] * len(values)
    for value, user, status in zip(values, users, known, strict=True):
        yield _Response(_user({"user_id": user}), question, value, str(status or ""))


def _user(response: Mapping[str, Any]) -> str:
    user = response.get("user_id")
    return "" if user is None or user == "None" else str(user)


def _pieces(value: Any, text: str) -> list[Piece]:
    if isinstance(value, list):
        return [piece for item in value for piece in _pieces(item, text)]
    if isinstance(value, str | int | float):
        return [value]
    if isinstance(value, Mapping):
        start, end, label = (value.get(name) for name in ("start", "end", "label"))
        if isinstance(start, int) and isinstance(end, int) and label is not None:
            return [Span(str(label), text[start:end])]
        return [Unread("ranking")] if "rank" in value else [value]
    return [Unread(type(value).__name__)]
