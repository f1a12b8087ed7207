"""Answers of another tool as values of the task."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.errors import UsageError
from tutelage.records import Value
from tutelage.review.exchange.export import Export, Piece, Span, Unread
from tutelage.tasks import FormField, Task, Widget, form_of, read_form

Answers = Mapping[str, Sequence[Piece]]


def chosen_questions(task: Task, export: Export, named: Sequence[str], label: str) -> list[str]:
    """Which of the export's questions hold the answer: those `named`, else the only one, or that of `label`.

    Of a record those called like its fields, where there are any. Raises UsageError where it can't be told.
    """
    there = export.questions
    if missing := [name for name in named if name not in there]:
        near = difflib.get_close_matches(missing[0], there, n=1, cutoff=0.5)
        hint = f"; nearest is {near[0]!r}" if near else ""
        raise UsageError(
            f"nobody answered a question {missing[0]!r}; there are {', '.join(map(repr, there))}{hint}. "
            "Mend: correct --answers"
        )
    if named:
        return list(named)
    if task.kind == "extract":
        fields = {field.name for field in form_of(task).fields}
        marked = {
            piece.label
            for item in export.said
            for pieces in item.answers.values()
            for piece in pieces
            if isinstance(piece, Span)
        }
        if found := [name for name in there if name in fields]:
            return found
        if marked & fields:
            return there
    if len(there) <= 1:
        return there
    if label in there:
        return [label]
    raise UsageError(
        f"people answered {len(there)} questions: {', '.join(map(repr, there))}, and which holds the label "
        "can't be told. Mend: name it with --answers"
    )


def answer_value(
    task: Task, answers: Answers, questions: Sequence[str], separator: str, *, joined: bool
) -> Value:
    """The value that a person's answers to these questions say. `joined`: see `Export`.

    Raises ValueError with what is wrong with it.
    """
    given = {name: answers[name] for name in questions if answers.get(name)}
    pieces = [piece for found in given.values() for piece in found]
    if unread := next((piece for piece in pieces if isinstance(piece, Unread)), None):
        raise ValueError(f"an answer of kind {unread.kind!r}, which no task of {task.kind} has")
    if task.kind == "extract":
        return _record(task, given)
    if spans := [piece for piece in pieces if isinstance(piece, Span)]:
        raise ValueError(
            f"marks {spans[0].text[:40]!r} as {spans[0].label!r}; marked parts are fields of a record, and "
            f"the task is {task.kind}"
        )
    return _value(task, pieces, separator, joined=joined)


def _value(task: Task, pieces: Sequence[Any], separator: str, *, joined: bool) -> Value:
    if task.multi_label:
        return task.read_cell(pieces[0] if joined and len(pieces) == 1 else list(pieces), separator)
    if len(pieces) > 1:
        shown = ", ".join(repr(str(piece)[:40]) for piece in pieces[:3])
        raise ValueError(f"{len(pieces)} answers where one is wanted: {shown}")
    return task.read_cell(_whole(pieces[0]), separator)


def _whole(piece: Any) -> Any:
    """A score that a tool keeps as 4.0 is 4."""
    return int(piece) if isinstance(piece, float) and piece.is_integer() else piece


def _record(task: Task, given: Answers) -> Value:
    """A record from its JSON, or field by field; parts that are marked are fields by their label."""
    by_field = _by_field(given)
    fields = {field.name: field for field in form_of(task).fields}
    if not by_field.keys() & fields.keys():
        pieces = [piece for found in given.values() for piece in found]
        if len(pieces) > 1:
            raise ValueError(f"{len(pieces)} answers where one record, as JSON, is wanted")
        return task.read_cell(pieces[0], "\n")
    sent = {}
    for name, said in by_field.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
            hint = f"; nearest is {near[0]!r}" if near else ""
            raise ValueError(f"the record has no field {name!r}{hint}")
        sent[fields[name].key] = _filled(fields[name], said)
    try:
        return read_form(task, sent)
    except UsageError as error:
        raise ValueError(str(error).split(". Mend:")[0]) from None


def _by_field(given: Answers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, pieces in given.items():
        for piece in pieces:
            if isinstance(piece, Span):
                found.setdefault(piece.label, []).append(piece.text)
            else:
                found.setdefault(name, []).append(str(_whole(piece)))
    return found


def _filled(field: FormField, pieces: Sequence[str]) -> str:
    """What a person would fill in for these pieces."""
    if field.widget is Widget.LINES:
        return "\n".join(pieces)
    if len(pieces) > 1:
        raise ValueError(f"{field.name} has {len(pieces)} answers where one is wanted")
    if field.widget is not Widget.OPTIONS:
        return pieces[0]
    for option in field.options:
        if option.text.casefold() == pieces[0].strip().casefold():
            return str(option.number)
    raise ValueError(f"{field.name}: {pieces[0][:40]!r} is none of {_listed(field)}")


def _listed(field: FormField) -> str:
    return ", ".join(repr(option.text) for option in field.options)
