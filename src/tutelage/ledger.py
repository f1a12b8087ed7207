"""The hash-chained journal of what was done, paid and decided: `ledger.jsonl`.

Each line carries the hash of the line before it, so that a change, a deletion, a swap or an insertion is
found, with the number of the first line that doesn't fit. Cutting lines off the end can't be seen from the
file alone: keep the head's hash (`tutelage status` prints it) elsewhere where that matters.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tutelage.errors import IntegrityError

_ORIGIN = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `sequence` counts from 1; `time` is UTC, ISO 8601."""

    sequence: int
    time: str
    event: str
    data: Mapping[str, Any]
    previous: str
    hash: str


def _entry_hash(sequence: int, time: str, event: str, data: Mapping[str, Any], previous: str) -> str:
    body = json.dumps([sequence, time, event, data, previous], sort_keys=True, ensure_ascii=False)
    # What was written has no lone surrogate; a line that was changed may, and must be told apart too.
    return hashlib.sha256(body.encode("utf-8", "backslashreplace")).hexdigest()


class Journal:
    """Appends entries under a file lock; several processes may write to one journal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, **data: Any) -> Entry:
        """Write one entry, synced to disk before it returns.

        Raises IntegrityError where the last whole line isn't an entry. A torn last line (power cut in the
        middle of a write) was never acknowledged and is removed.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # As JSON will give it back; what is no Unicode (a file's name in another coding) becomes "?".
        data = json.loads(json.dumps(data, default=str, ensure_ascii=False).encode("utf-8", "replace"))
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            head = self._repair_and_read_head(file)
            sequence, previous = (head.sequence + 1, head.hash) if head else (1, _ORIGIN)
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            digest = _entry_hash(sequence, time, event, data, previous)
            entry = Entry(sequence, time, event, data, previous, digest)
            file.write(_to_line(entry))
            file.flush()
            os.fsync(file.fileno())
        return entry

    def _repair_and_read_head(self, file: Any) -> Entry | None:
        size = file.seek(0, os.SEEK_END)
        window = 1 << 16
        while True:
            start = max(0, size - window)
            file.seek(start)
            tail = file.read(size - start)
            whole = tail[: tail.rfind(b"\n") + 1]
            lines = whole.splitlines()
            # The first line of a window that doesn't start the file may be cut; with two, the last is whole.
            if start == 0 or len(lines) > 1:
                break
            window *= 4
        if len(whole) < len(tail):
            file.truncate(size - (len(tail) - len(whole)))
        return _from_line(lines[-1], number=-1) if lines else None

    def entries(self) -> Iterator[Entry]:
        """All entries in order, unverified."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _from_line(line, number)

    def verify(self) -> int:
        """Check the whole chain; return how many entries it has.

        Raises IntegrityError naming the first line that doesn't fit.
        """
        previous, count = _ORIGIN, 0
        for count, entry in enumerate(self.entries(), start=1):
            expected = _entry_hash(entry.sequence, entry.time, entry.event, entry.data, previous)
            if entry.sequence != count or entry.previous != previous or entry.hash != expected:
                raise IntegrityError(
                    f"{self.path}, line {count}: the journal's chain is broken here, so this line or the one "
                    "before was changed, removed, moved or inserted. Mend: restore the file from a backup"
                )
            previous = entry.hash
        return count

    def head(self) -> Entry | None:
        """The last entry, or None."""
        return next(iter(deque(self.entries(), maxlen=1)), None)


def _to_line(entry: Entry) -> bytes:
    content = {name: getattr(entry, name) for name in Entry.__slots__}
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def _from_line(line: bytes, number: int) -> Entry:
    try:
        return Entry(**json.loads(line, object_pairs_hook=_unique_keys))
    except (ValueError, TypeError, RecursionError) as error:
        where = "the last line" if number < 0 else f"line {number}"
        raise IntegrityError(f"ledger.jsonl, {where}: not a journal entry ({error})") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers of JSON differ in which of two equal keys they take, so that none may stand in the journal."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands twice")
    return content
