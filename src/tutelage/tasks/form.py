"""What a person fills in to say a task's value, and the value that what was filled in makes.

Field names are `choice` (the number of a label), `choice-N` (label N is ticked), `text`, and `field-N` (of a
record's field N). Whatever the browser sends, a value is held to the task as any answer is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tutelage.errors import UsageError
from tutelage.records import Fields, Value, storable
from tutelage.tasks._rules import kinds_of, value_part
from tutelage.tasks._schema import resolved
from tutelage.tasks.extract import Extract
from tutelage.tasks.protocol import CellFault, CellFaultKind, Task, with_labels

_SEPARATOR = "\n"  # no label has one


class FormKind(StrEnum):
    """How a value is filled in."""

    CHOICE = "choice"
    CHOICES = "choices"
    TEXT = "text"
    RECORD = "record"


class Widget(StrEnum):
    """What a record's field is filled in with."""

    LINE = "line"
    NUMBER = "number"
    OPTIONS = "options"
    LINES = "lines"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Option:
    """One of the values there are: its number, what it is called, what it means, and what it is as JSON."""

    number: int
    text: str
    description: str = ""
    content: Any = None


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a record. `optional`: it may stay empty, and is then null (`takes_null`) or left out."""

    number: int
    name: str
    widget: Widget
    options: tuple[Option, ...] = ()
    optional: bool = False
    takes_null: bool = False
    description: str = ""

    @property
    def key(self) -> str:
        """Its name in a form."""
        return f"field-{self.number}"


@dataclass(frozen=True, slots=True)
class Form:
    """A task's form: `options` of a choice, `fields` of a record."""

    kind: FormKind
    options: tuple[Option, ...] = ()
    fields: tuple[FormField, ...] = ()


def form_of(task: Task) -> Form:
    """The task's form. Raises UsageError for a task of labels that aren't known."""
    labelled = with_labels(task)
    if labelled is not None:
        if not labelled.labels:
            raise UsageError(
                "there is no label to choose: gold has none yet, and task.labels names none. "
                "Mend: set task.labels"
            )
        described = labelled.descriptions or {}
        options = tuple(
            Option(number, label, described.get(label, "")) for number, label in enumerate(labelled.labels)
        )
        return Form(FormKind.CHOICES if labelled.multi_label else FormKind.CHOICE, options)
    if isinstance(task, Extract):
        return Form(FormKind.RECORD, fields=_fields(task))
    return Form(FormKind.TEXT)


def read_form(task: Task, sent: Mapping[str, str]) -> Value:
    """The value that a filled-in form says. Raises UsageError with what is wrong with it."""
    form = form_of(task)
    try:
        if form.kind is FormKind.RECORD:
            return task.read_cell(_record(form.fields, sent), _SEPARATOR)
        if form.kind is FormKind.TEXT:
            return task.read_cell(storable(sent.get("text", "")).replace("\r\n", "\n"), _SEPARATOR)
        names = [option.text for option in form.options if _is_chosen(form.kind, option, sent)]
        if form.kind is FormKind.CHOICES:
            return task.read_cell(names, _SEPARATOR)
        if not names:
            raise UsageError("no answer was chosen. Mend: choose one, or skip the prompt")
        return task.read_cell(names[0], _SEPARATOR)
    except CellFault as fault:
        bare = fault.kind in (CellFaultKind.EMPTY, CellFaultKind.NOT_TEXT)
        what = f"the answer {fault}" if bare else f"the answer doesn't fit: {fault}"
        raise UsageError(f"{what}. Mend: correct it, or skip the prompt") from None


def filled_in(task: Task, value: Value | None) -> dict[str, str]:
    """What a form holds that says `value`: the inverse of `read_form`; nothing for None."""
    if value is None:
        return {}
    form = form_of(task)
    if form.kind is FormKind.RECORD:
        record = dict(value) if isinstance(value, Fields) else {}
        return {field.key: _shown(field, record.get(field.name)) for field in form.fields}
    if form.kind is FormKind.TEXT:
        return {"text": str(value)}
    names = value if isinstance(value, tuple) else (value,)
    chosen = [option.number for option in form.options if option.text in names]
    if form.kind is FormKind.CHOICES:
        return {f"choice-{number}": "on" for number in chosen}
    return {"choice": str(chosen[0])} if chosen else {}


def _is_chosen(kind: FormKind, option: Option, sent: Mapping[str, str]) -> bool:
    if kind is FormKind.CHOICES:
        return f"choice-{option.number}" in sent
    return sent.get("choice") == str(option.number)


def _fields(task: Extract) -> tuple[FormField, ...]:
    schema = task.record
    parts = schema["properties"]
    required = schema.get("required", list(parts))
    return tuple(
        _field(number, name, part, schema, name in required)
        for number, (name, part) in enumerate(parts.items())
    )


def _field(number: int, name: str, part: Any, schema: Mapping[str, Any], required: bool) -> FormField:
    whole = resolved(part, schema) or {}
    body = value_part(whole, schema)
    kinds = kinds_of(body)
    nullable = _takes_null(whole)
    optional = nullable or not required
    described = str(whole.get("description") or body.get("description") or "")
    choices = body.get("enum", [True, False] if kinds == {"boolean"} else None)
    if choices is not None:
        options = tuple(
            Option(at, content if isinstance(content, str) else json.dumps(content), content=content)
            for at, content in enumerate(choices)
            if content is not None
        )
        return FormField(number, name, Widget.OPTIONS, options, optional, nullable, described)
    return FormField(number, name, _widget(body, kinds, schema), (), optional, nullable, described)


def _takes_null(part: Mapping[str, Any]) -> bool:
    given = part.get("type", ())
    if "null" in ([given] if isinstance(given, str) else given) or None in part.get("enum", ()):
        return True
    return any(_takes_null(branch) for name in ("anyOf", "oneOf") for branch in part.get(name, ()))


def _widget(body: Mapping[str, Any], kinds: set[str], schema: Mapping[str, Any]) -> Widget:
    if kinds == {"string"}:
        return Widget.LINE
    if kinds and kinds <= {"number", "integer"}:
        return Widget.NUMBER
    if kinds == {"array"}:
        item = value_part(resolved(body.get("items", {}), schema) or {}, schema)
        if kinds_of(item) == {"string"}:
            return Widget.LINES
    return Widget.JSON


def _record(fields: Sequence[FormField], sent: Mapping[str, str]) -> dict[str, Any]:
    record = {}
    for field in fields:
        text = storable(sent.get(field.key, "")).replace("\r\n", "\n").strip()
        if text or not field.optional:
            record[field.name] = _content(field, text)
        elif field.takes_null:
            record[field.name] = None
    return record


def _content(field: FormField, text: str) -> Any:
    if field.widget is Widget.LINE:
        return text
    if field.widget is Widget.LINES:
        return [line.strip() for line in text.split("\n") if line.strip()]
    if not text:
        raise UsageError(f"{field.name} is empty. Mend: fill it in, or skip the prompt")
    if field.widget is Widget.OPTIONS:
        return _chosen(field, text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        wanted = "a number such as 12.5" if field.widget is Widget.NUMBER else "JSON"
        raise UsageError(f"{field.name} is {text[:40]!r}, which isn't {wanted}. Mend: correct it") from None
    return content


def _chosen(field: FormField, text: str) -> Any:
    found = next((option for option in field.options if str(option.number) == text), None)
    if found is None:
        raise UsageError(f"{field.name}: no choice {text[:40]!r}. Mend: choose one of those there are")
    return found.content


def _shown(field: FormField, content: Any) -> str:
    if content is None:
        return ""
    if field.widget is Widget.OPTIONS:
        return next((str(option.number) for option in field.options if option.content == content), "")
    if field.widget is Widget.LINES and isinstance(content, list):
        return "\n".join(map(str, content))
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
