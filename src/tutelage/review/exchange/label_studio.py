"""Label Studio's exports: JSON (tasks with their annotations), JSON-MIN and CSV (an annotation a row).

A region's `value` holds the answer under the name of its control's kind: `choices`, `text` of a text area,
`rating`, `number`, `taxonomy` (paths, whose last step counts) and `labels` with the `text` that is marked.
JSON-MIN and CSV have the same, a single choice or text written plainly, in a column with the control's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tutelage.data.rows import Row
from tutelage.review.exchange.export import (
    ABOUT,
    About,
    Export,
    LeftOut,
    Piece,
    Said,
    Span,
    Unread,
    listed,
    text_of,
)

NAME = "label-studio"
_SINGLE = ("rating", "number", "datetime")
_ROW_MARKS = ("annotator", "annotation_id", "lead_time")  # what every row of JSON-MIN and CSV has
_OF_ROWS = (*_ROW_MARKS, "created_at", "updated_at", "agreement", "history")


def is_tasks(cells: Mapping[str, Any]) -> bool:
    """Whether a record is a task of the JSON export."""
    return isinstance(cells.get("data"), Mapping) and any(
        isinstance(cells.get(name), list) for name in ("annotations", "completions")
    )


def is_row(cells: Mapping[str, Any]) -> bool:
    """Whether a record is a row of the JSON-MIN or CSV export."""
    return all(name in cells for name in _ROW_MARKS)


def read(rows: Iterable[Row], column: str) -> Export:
    """Read either kind; `column` is what the prompt's text is probably called."""
    export = Export(NAME)
    for row in rows:
        export.rows += 1
        try:
            if row.fault is not None:
                raise ValueError(row.fault)
            if is_tasks(row.cells):
                _take_task(export, row.number, row.cells, column)
            elif is_row(row.cells):
                _take_row(export, row.number, row.cells, column)
            else:
                raise ValueError("neither a task with annotations nor a row with an annotator")
        except (ValueError, RecursionError) as error:
            export.faults.append((row.number, str(error)))
    return export


def _take_task(export: Export, number: int, task: Mapping[str, Any], column: str) -> None:
    data = task["data"]
    predictions = task.get("predictions")
    export.left_out[LeftOut.SUGGESTION] += len(predictions) if isinstance(predictions, list) else 0
    drafts = task.get("drafts")
    export.left_out[LeftOut.DRAFT] += len(drafts) if isinstance(drafts, list) else 0
    annotations = task["annotations"] if isinstance(task.get("annotations"), list) else task["completions"]
    for annotation in annotations:
        if not isinstance(annotation, Mapping):
            raise ValueError("annotations are given by number alone; export them as JSON, whole")
        if annotation.get("was_cancelled") or annotation.get("skipped"):
            export.left_out[LeftOut.SKIPPED] += 1
            continue
        answered = [
            region
            for region in listed(annotation.get("result"), "an annotation's result")
            if isinstance(region, Mapping) and isinstance(region.get("from_name"), str)
        ]
        answers: dict[str, list[Piece]] = {}
        for region in answered:
            pieces = answers.setdefault(region["from_name"], [])
            pieces += _pieces(region.get("value"), str(region.get("type")))
        said = Said(
            row=number,
            text=text_of(data, column),
            annotator=_annotator(annotation.get("completed_by")),
            answers=answers,
            time=_time(annotation),
            suggested=bool(answered) and all(region.get("origin") == "prediction" for region in answered),
            about=About.of(data),
        )
        export.take(said)


def _take_row(export: Export, number: int, cells: Mapping[str, Any], column: str) -> None:
    data = {name: cell for name, cell in cells.items() if name not in _OF_ROWS}
    text = text_of(data, column)
    # A row doesn't tell its controls from the task's data: what decodes as no answer is data.
    answers = {
        name: pieces
        for name, cell in data.items()
        if cell is not text and name not in (*ABOUT, "text", column) and (pieces := _plain(cell))
    }
    known = About.of({**data, "id": None})  # that is the task's number
    export.take(Said(number, text, _annotator(cells["annotator"]), answers, known, time=_time(cells)))


def _plain(cell: Any) -> list[Piece]:
    """The pieces of an answer of JSON-MIN, or of CSV, which writes what is no text as JSON."""
    if isinstance(cell, str):
        if cell.lstrip()[:1] not in ("[", "{"):
            return [cell] if cell.strip() else []
        try:
            cell = json.loads(cell)
        except ValueError:
            return [cell]
    found = cell if isinstance(cell, list) else [cell]
    pieces: list[Piece] = []
    for item in found:
        if isinstance(item, str | int | float):
            pieces.append(item)
        elif isinstance(item, Mapping):
            pieces += _pieces(item, "")
    return pieces


def _pieces(value: Any, kind: str) -> Sequence[Piece]:
    if not isinstance(value, Mapping):
        return [Unread(kind or type(value).__name__)]
    for name in ("labels", "hypertextlabels"):
        if isinstance(value.get(name), list):
            marked = value.get("text")
            return [Span(str(label), str(marked)) for label in value[name]]
    for name in _SINGLE:
        if isinstance(value.get(name), str | int | float):
            return [value[name]]
    if isinstance(paths := value.get("taxonomy"), list):
        return [str(path[-1]) if isinstance(path, list) and path else str(path) for path in paths]
    for name in ("choices", "text"):
        found = value.get(name)
        if isinstance(found, list):
            return [str(item) for item in found]
        if isinstance(found, str):
            return [found]
    return [Unread(kind)] if kind else [value]


def _annotator(given: Any) -> str:
    """An e-mail address where the export has one, else the user's number with the tool's name."""
    if isinstance(given, Mapping):
        given = given.get("email") or given.get("id")
    name = "" if given is None else str(given).strip()
    return f"{NAME} {name}" if name.isdigit() else name


def _time(content: Mapping[str, Any]) -> str:
    return str(content.get("updated_at") or content.get("created_at") or "")
