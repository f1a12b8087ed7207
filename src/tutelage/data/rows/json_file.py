"""JSON files: an object a line, a list of objects, or objects one after the other; read bit by bit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from tutelage import storage
from tutelage.data.rows.row import Row
from tutelage.errors import DataError

_BY_LINES = (".jsonl", ".ndjson")
_CHUNK = 1 << 18
_MOST = 1 << 26  # characters of one object
_BETWEEN = re.compile(r"[\s,]*")


def json_rows(path: Path) -> Iterator[Row]:
    """Its objects, each as the cells of a row. What is no object on a line of its own is a fault.

    Raises DataError where a list, or an object over several lines, breaks off: what follows can't be told.
    """
    number = 0
    for row in _lines(path) if _is_by_lines(path) else _values(path):
        number += 1
        yield row
    if number == 0:
        raise DataError(f"{path} holds no rows. Mend: put a JSON object on each line")


def _is_by_lines(path: Path) -> bool:
    """A line is an object of its own where the first is, or the ending says so."""
    if path.suffix.lower() in _BY_LINES:
        return True
    with _texts(path) as file:
        first = next((line for line in file if line.strip()), "").strip()
    if first.startswith("["):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return not first.startswith("{")
    return True


def _texts(path: Path) -> TextIO:
    return TextIOWrapper(storage.opened(path), encoding="utf-8-sig", errors="surrogateescape")


def _lines(path: Path) -> Iterator[Row]:
    number = 0
    with storage.opened(path) as file:
        for line_number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
            if not text.strip():
                continue
            number += 1
            try:
                content = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield Row(number, {}, f"line {line_number}: not JSON: {str(error)[:120]}", raw=text[:200])
                continue
            yield _row(number, f"line {line_number}", content, text[:200])


def _row(number: int, where: str, content: Any, raw: str) -> Row:
    if isinstance(content, dict):
        return Row(number, content)
    return Row(number, {}, f"{where}: {type(content).__name__}, not an object", raw=raw)


def _values(path: Path) -> Iterator[Row]:
    with _texts(path) as file:
        for number, content in enumerate(_decoded(path, file), start=1):
            yield _row(number, f"number {number}", content, str(content)[:200])


def _decoded(path: Path, file: TextIO) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    buffer = file.read(_CHUNK)
    place = _after_blanks(buffer, 0)
    is_list = buffer[place : place + 1] == "["
    place += is_list
    while True:
        place = _after_blanks(buffer, place)
        if is_list and buffer[place : place + 1] == "]":
            return
        fault = "it ends"
        try:
            content, end = decoder.raw_decode(buffer, place)
            if end < len(buffer):  # a number may go on
                yield content
                place = end
                continue
        except (ValueError, RecursionError) as error:
            content, end, fault = None, -1, str(error)
        if more := file.read(max(_CHUNK, len(buffer) - place)):
            buffer, place = buffer[place:] + more, 0
            if len(buffer) <= _MOST:
                continue
            fault = f"more than {_MOST:,} characters"
        if end == len(buffer) and not is_list:
            yield content
            return
        if place == len(buffer) and not is_list:
            return
        raise DataError(
            f"{path}: after {file.tell():,} bytes, JSON breaks off or is too large: {fault[:120]}. "
            "Mend: export it anew, or as JSONL, an object a line"
        )


def _after_blanks(buffer: str, place: int) -> int:
    found = _BETWEEN.match(buffer, place)
    return found.end() if found else place
