"""Raw rows of each format, as cells by column name; nothing is judged here but the format itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage.data.logs import LOGS, InputOf, Request, log_format
from tutelage.data.rows.csv_file import csv_rows
from tutelage.data.rows.database import database_name, database_rows, is_database
from tutelage.data.rows.hub import HUB, hub_rows
from tutelage.data.rows.json_file import json_rows
from tutelage.data.rows.parquet_file import parquet_rows
from tutelage.data.rows.row import Row
from tutelage.data.rows.text_files import LINES, file_rows, line_rows, text_files, text_rows
from tutelage.errors import ConfigError, DataError

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "lines",
}
_LOOKED_AT = 20  # rows of a file, to find out what log it is


def open_rows(
    path: Path | str,
    form: str | None,
    wanted: Mapping[str, str],
    *,
    query: str | None = None,
    input_of: InputOf | None = None,
) -> Iterator[Row]:
    """The rows of a source. `wanted`: columns that must be there, each with the key of tutelage.yaml for it.

    `query` is for databases. `input_of` finds the task's input in a log's request; without it the last
    message of the user is taken. Raises DataError naming the file, and line and fix where known; ConfigError.
    """
    form = form or _found_form(path, wanted)
    log = LOGS.get(form or "")
    rows = _plain_rows(path, None if log else form, {} if log else wanted, query, every=log is not None)
    return rows if log is None else _requests(str(path), rows, form or "", wanted, input_of)


def source_name(path: Path | str) -> str:
    """A source as prompts, messages and journals name it: a file's path, a database without its secrets."""
    return database_name(str(path)) if is_database(path) else str(path)


def _plain_rows(
    path: Path | str, form: str | None, wanted: Mapping[str, str], query: str | None, *, every: bool
) -> Iterator[Row]:
    if is_database(path):
        if query is None:
            raise ConfigError(
                f"{database_name(str(path))} is a database, and which rows is not said. Mend: add query, as "
                "SELECT id, text FROM requests"
            )
        return database_rows(str(path), query, wanted)
    if query is not None:
        raise ConfigError(f"{path} is no database, and query is for these. Mend: leave query out")
    if str(path).startswith(HUB):
        return hub_rows(str(path), wanted)
    path = Path(path)
    if path.is_dir():
        return _folder_rows(path, form, wanted)
    return _file_rows(path, form or _FORMATS.get(path.suffix.lower()), wanted, every=every)


def _folder_rows(folder: Path, form: str | None, wanted: Mapping[str, str]) -> Iterator[Row]:
    if form == "texts" or (form is None and not (folder / LINES[0]).is_file() and text_files(folder)):
        return file_rows(folder, wanted)
    if form in (None, "lines"):
        return line_rows(folder)
    raise DataError(
        f"{folder} is a folder. Mend: correct the path in tutelage.yaml, which starts at its own folder; "
        f"several files are named by a pattern, as {folder.name}/*.jsonl"
    )


def _file_rows(path: Path, form: str | None, wanted: Mapping[str, str], *, every: bool) -> Iterator[Row]:
    if not path.is_file():
        raise DataError(
            f"{path} doesn't exist. Mend: correct the path in tutelage.yaml, which starts at its own folder"
        )
    if form not in ("csv", "jsonl", "parquet", "lines"):
        raise DataError(
            f"{path}: format unknown from its ending {path.suffix!r}. "
            "Mend: set format to csv, jsonl, parquet or lines, or save it so: a spreadsheet as CSV"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Mend: give it a header and rows")
    match form:
        case "csv":
            return csv_rows(path, wanted)
        case "jsonl":
            return _with_paths(json_rows(path), wanted)
        case "parquet":
            return parquet_rows(path, wanted, every=every)
        case _:
            return text_rows(path, wanted)


def _with_paths(rows: Iterator[Row], wanted: Mapping[str, str]) -> Iterator[Row]:
    """Cells deep in an object under their path, as `input.question`, where a column is named so."""
    paths = [name for name in wanted if "." in name]
    if not paths:
        return rows
    return (replace(row, cells={**row.cells, **_deep(row.cells, paths)}) for row in rows)


def _deep(record: Mapping[str, Any], paths: list[str]) -> dict[str, Any]:
    found = {}
    for path in paths:
        value: Any = record
        for step in () if path in record else path.split("."):
            if isinstance(value, str) and value.lstrip()[:1] == "{":
                try:
                    value = json.loads(value)
                except (ValueError, RecursionError):
                    break
            value = value.get(step) if isinstance(value, dict) else None
        if path not in record and value is not None and not isinstance(value, dict):
            found[path] = value
    return found


def _found_form(path: Path | str, wanted: Mapping[str, str]) -> str | None:
    """The log that a file is, where its first rows can be no other's and lack the columns wanted."""
    if is_database(path) or str(path).startswith(HUB) or not Path(path).is_file():
        return None
    form = _FORMATS.get(Path(path).suffix.lower())
    if form not in ("csv", "jsonl", "parquet") or Path(path).stat().st_size == 0:
        return None
    try:
        first = list(islice(_file_rows(Path(path), form, {}, every=True), _LOOKED_AT))
    except DataError:
        return None  # opening it says why
    records = [row.cells for row in first if row.fault is None]
    if not records or any(name in record for name in wanted for record in records):
        return None
    found = {log_format(inner) for record in records for inner in _records(record)} - {None}
    return found.pop() if len(found) == 1 else None


def _records(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The records of an answer of an API, which has them as `data`; else the record itself."""
    data = record.get("data")
    if isinstance(data, list) and data and all(isinstance(one, dict) for one in data):
        return data
    return [record]


def _requests(
    where: str, rows: Iterator[Row], form: str, wanted: Mapping[str, str], input_of: InputOf | None
) -> Iterator[Row]:
    log, paths = LOGS[form], [name for name in wanted if name not in ("text", "label")]
    own_text = next((name for name, key in wanted.items() if key == "columns.text"), "text")
    number = 0
    for row in rows:
        if row.fault is not None:
            number += 1
            yield replace(row, number=number)
            continue
        for record in _records(row.cells):
            try:
                requests = list(log.requests_in(record))
            except RecursionError:
                requests = [Request(fault="it is nested too deep")]
            for request in requests:
                number += 1
                yield _request_row(number, request, record, paths, own_text, input_of)
    if number == 0:
        raise DataError(
            f"{where} holds no request to a model, read as format {form}. Mend: set format to what it is, or "
            "name the export that has them"
        )


def _request_row(
    number: int,
    request: Request,
    record: Mapping[str, Any],
    paths: list[str],
    own_text: str,
    input_of: InputOf | None,
) -> Row:
    about = {"id": request.id, "subject": request.subject, "time": request.time, "model": request.model}
    cells = {name: cell for name, cell in about.items() if cell is not None}
    cells |= {name: record[name] for name in paths if name in record} | _deep(record, paths)
    if request.answer is not None:
        cells["answer"] = request.answer
    mapped = cells.get(own_text) if own_text != "text" else None
    if mapped is not None and request.reason != "other_task":
        return Row(number, cells, native=True)
    if request.fault is not None:
        return Row(number, cells, request.fault, str(request.id or "")[:200], request.reason, True)
    text = request.text(input_of)
    if text is None:
        told = "its messages are not the task's (serving.recognise)" if input_of else "no user speaks in it"
        return Row(number, cells, told, str(request.id or "")[:200], "other_task", True)
    return Row(number, {**cells, "text": text}, native=True)
