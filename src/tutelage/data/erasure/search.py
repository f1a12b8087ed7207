"""Whether a file still holds a trace: its bytes, and of Parquet and SQLite also what they decode to."""

from __future__ import annotations

import mmap
import re
from html import unescape
from pathlib import Path

from tutelage import storage
from tutelage.data.erasure.databases import opened, tables_of
from tutelage.data.erasure.tables import holds_trace
from tutelage.data.erasure.traces import Traces

_WEIGHTS = (".safetensors", ".onnx", ".bin")
_PART = 1 << 24  # bytes of an encrypted file that are searched at once
_TOKEN = re.compile(rb"[\w-]")


def holds(path: Path, traces: Traces) -> bool:
    """Whether any long key or text of `traces` stands in the file. Reads all of it.

    Of many texts, which aren't looked for in weights, those within JSON are found unless it escapes them.
    """
    if not path.stat().st_size:
        return False
    if path.suffix == ".parquet" and holds_trace(path, traces):
        return True
    if path.suffix in (".sqlite", ".db"):
        return _in_database(path, traces)
    if traces.many and path.suffix not in (*_WEIGHTS, ".parquet"):
        read = storage.read_text(path, errors="replace")
        return any(traces.in_text(text) for text in (read, unescape(read)))
    if storage.is_encrypted(path):
        return _in_encrypted(path, traces)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(_stands(content, needle) for needle in traces.needles)


def _in_encrypted(path: Path, traces: Traces) -> bool:
    """As in a file that is mapped into memory: a part at a time, each with the end of the one before."""
    overlap = max(map(len, traces.needles), default=0) + 2
    with storage.opened(path) as file:
        held = b""
        while part := file.read(_PART):
            held += part
            if any(_stands(held, needle) for needle in traces.needles):
                return True
            held = held[-overlap:]
    return False


def _stands(content: mmap.mmap | bytes, needle: bytes) -> bool:
    """Whether it does, and isn't a part of a longer word: `user-1` doesn't stand in `user-10`."""
    place = content.find(needle)
    while place >= 0:
        before, after = content[max(0, place - 1) : place], content[place + len(needle) :][:1]
        if not (_TOKEN.match(before) or _TOKEN.match(after)):
            return True
        place = content.find(needle, place + 1)
    return False


def _in_database(path: Path, traces: Traces) -> bool:
    """Cell by cell: in a file's bytes one cell begins where another ends, so that no word does there."""
    with opened(path) as database:
        for table in tables_of(database):
            for row in database.execute(f'SELECT * FROM "{table}"'):
                if any(isinstance(cell, str) and traces.in_text(cell) for cell in row):
                    return True
    return False
