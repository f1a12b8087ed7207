"""Prompts as tasks of another tool; what people say there is read back by their hashes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tutelage import storage
from tutelage.errors import UsageError
from tutelage.records import Prompt
from tutelage.review.exchange import argilla, label_studio, table
from tutelage.review.exchange.reading import FORMATS
from tutelage.review.sheet import shown, write_sheet
from tutelage.tasks import FormField, FormKind, Task, Widget, form_of

_LABEL = "label"
_MOST_BUTTONS = 20  # options that are shown at once; of more one chooses from a list


def write_tasks(
    path: Path, form: str | None, prompts: Sequence[Prompt], task: Task, instruction: str
) -> list[Path]:
    """Write `prompts` for people to answer in another tool; return the files.

    `form` is one of `FORMATS`; where absent a table for `.csv`, else Label Studio's. That has a second file,
    the labelling interface. Raises UsageError where a file is there already, which may hold answers.
    """
    form = form or (table.NAME if path.suffix.lower() == ".csv" else label_studio.NAME)
    if form not in FORMATS:
        raise UsageError(f"format {form!r} is none of {', '.join(FORMATS)}. Mend: name one of these")
    interface = path.with_suffix(".xml")
    files = [path, interface] if form == label_studio.NAME else [path]
    if there := [file for file in files if file.exists()]:
        raise UsageError(f"{there[0]} exists and may hold answers. Mend: name another file, or remove it")
    if form == table.NAME:
        write_sheet(
            path,
            ("id", "text", "slice", table.ANNOTATOR, _LABEL, "hash"),
            [_row(prompt) for prompt in prompts],
        )
    elif form == argilla.NAME:
        _write_json(path, [_record(prompt) for prompt in prompts])
    else:
        _write_json(path, [{"data": _data(prompt)} for prompt in prompts])
        storage.write_bytes(interface, labelling_interface(task, instruction).encode(), readable=True)
    return files


def _write_json(path: Path, content: Sequence[object]) -> None:
    storage.write_bytes(path, json.dumps(content, ensure_ascii=False, indent=1).encode(), readable=True)


def _data(prompt: Prompt) -> dict[str, str]:
    return {"text": prompt.text, "id": prompt.id, "slice": prompt.slice, "hash": prompt.hash}


def _row(prompt: Prompt) -> dict[str, str]:
    return {**_data(prompt), "text": shown(prompt.text), table.ANNOTATOR: "", _LABEL: ""}


def _record(prompt: Prompt) -> dict[str, object]:
    """Its id is the prompt's hash: Argilla takes no metadata that its settings don't name."""
    return {
        "id": prompt.hash,
        "fields": {"text": prompt.text},
        "metadata": {},
        "suggestions": {},
        "responses": {},
    }


def labelling_interface(task: Task, instruction: str) -> str:
    """Label Studio's labelling interface for the task: XML, as `import` reads its answers."""
    view = ElementTree.Element("View")
    if instruction:
        ElementTree.SubElement(view, "Header", value=instruction, size="4")
    ElementTree.SubElement(view, "Text", name="prompt", value="$text")
    form = form_of(task)
    if form.kind is FormKind.RECORD:
        for field in form.fields:
            _add_field(view, field)
    elif form.kind is FormKind.TEXT:
        _add_text(view, _LABEL, several=False, required=True)
    else:
        several = form.kind is FormKind.CHOICES
        _add_choices(
            view, _LABEL, [(option.text, option.description) for option in form.options], several=several
        )
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _add_field(view: ElementTree.Element, field: FormField) -> None:
    ElementTree.SubElement(view, "Header", value=field.name, size="6")
    if field.widget is Widget.OPTIONS:
        options = [(option.text, option.description) for option in field.options]
        _add_choices(view, field.name, options, several=False, required=not field.optional)
    else:
        _add_text(view, field.name, several=field.widget is Widget.LINES, required=not field.optional)


def _add_text(view: ElementTree.Element, name: str, *, several: bool, required: bool) -> None:
    about = {} if several else {"maxSubmissions": "1"}
    if required:
        about["required"] = "true"
    about |= {"name": name, "toName": "prompt", "editable": "true"}
    ElementTree.SubElement(view, "TextArea", about)


def _add_choices(
    view: ElementTree.Element,
    name: str,
    options: Sequence[tuple[str, str]],
    *,
    several: bool,
    required: bool | None = None,
) -> None:
    about = {"name": name, "toName": "prompt", "choice": "multiple" if several else "single"}
    if required if required is not None else not several:
        about["required"] = "true"
    if len(options) > _MOST_BUTTONS:
        about["layout"] = "select"
    choices = ElementTree.SubElement(view, "Choices", about)
    for text, description in options:
        hint = {"hint": description} if description else {}
        ElementTree.SubElement(choices, "Choice", {"value": text, **hint})
