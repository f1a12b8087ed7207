"""Rows of CSV and JSON Lines, erased so that every other byte of the file stays as it was."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tutelage import storage
from tutelage.data.erasure.traces import Traces
from tutelage.errors import DataError


def erase_json_lines(path: Path, traces: Traces, whose: Collection[str]) -> int:
    """Erase the lines of objects that hold a trace; how many.

    `whose` names columns of subjects, those within objects by their path. A line that is no JSON is looked
    at as a text.
    """
    return _rewrite(path, lambda: _judged_lines(path, traces, whose))


def erase_csv(path: Path, traces: Traces, whose: Collection[str]) -> int:
    """As `erase_json_lines`, of a CSV file with a header. Raises DataError where its quotes don't close."""
    csv.field_size_limit(sys.maxsize)
    try:
        return _rewrite(path, lambda: _judged_records(path, traces, whose))
    except csv.Error as error:
        raise DataError(
            f"{path} can't be read as CSV, so that nothing could be erased from it: {error}. Mend: correct "
            "its quotes, then purge again"
        ) from error


def _rewrite(path: Path, judged: Callable[[], Iterator[tuple[bytes, bool]]]) -> int:
    """Write what isn't to go. A file of which nothing is stays untouched."""
    erased = sum(goes for _, goes in judged())
    if erased:
        with storage.replacing(path, readable=not storage.is_encrypted(path)) as file:
            file.writelines(content for content, goes in judged() if not goes)
    return erased


def _judged_lines(path: Path, traces: Traces, whose: Collection[str]) -> Iterator[tuple[bytes, bool]]:
    with storage.opened(path) as file:
        for line in file:
            text = line.decode("utf-8", "surrogateescape")
            try:
                content = json.loads(text)
            except (ValueError, RecursionError):
                yield line, traces.in_text(text.strip())
                continue
            row = content if isinstance(content, dict) else {"": content}
            deep = {name: _deep(row, name) for name in whose if "." in name}
            yield line, traces.in_row({**row, **deep}, whose)


def _deep(row: object, path: str) -> object:
    for step in path.split("."):
        row = row.get(step) if isinstance(row, dict) else None
    return row


def _judged_records(path: Path, traces: Traces, whose: Collection[str]) -> Iterator[tuple[bytes, bool]]:
    lines: list[str] = []
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        first = file.readline()
        delimiter = next((mark for mark in ",;\t" if mark in first), ",")
        file.seek(0)

        def noted() -> Iterator[str]:
            for line in file:
                lines.append(line)
                yield line

        header: list[str] | None = None
        for cells in csv.reader(noted(), delimiter=delimiter):
            raw = "".join(lines).encode("utf-8", "surrogateescape")
            lines.clear()
            if header is None:
                header = [name.strip().removeprefix("\ufeff") for name in cells]
                yield raw, False
                continue
            row = dict(zip(header, cells, strict=False))
            rest = cells[len(header) :]
            yield raw, traces.in_row(row, whose) or traces.in_value(rest)
