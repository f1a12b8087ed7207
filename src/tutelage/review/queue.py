"""The queue: prompts that wait for people, in a file in which they answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.config import ColumnsConfig
from tutelage.data.sources import Rows
from tutelage.records import Prompt
from tutelage.review.sheet import read_sheet, shown, write_sheet
from tutelage.review.verdicts import HASH, HumanVerdict, is_empty, read_verdicts
from tutelage.tasks import Task

COLUMNS = ("id", "text", "slice", "label", "reviewer", "reasons", HASH)


class Queue:
    """A queue file. `verdicts` reads what was filled in; `put` adds what waits, and replaces no answer."""

    def __init__(self, path: Path, separator: str) -> None:
        self.path, self._separator = path, separator

    def verdicts(self, task: Task) -> Rows[HumanVerdict]:
        """The rows that people have filled in. Raises DataError where the file can't be read."""
        if not self.path.exists() or not read_sheet(self.path):
            return Rows([], [], 0)
        return read_verdicts(self.path, ColumnsConfig(separator=self._separator), task, ours=True)

    def put(self, prompts: Sequence[Prompt]) -> None:
        """Add the prompts that aren't in it. Rows that are there stay as they are, in their place."""
        rows: list[dict[str, Any]] = read_sheet(self.path)
        there = {str(row.get(HASH) or "").strip() for row in rows}
        new = {prompt.hash: prompt for prompt in prompts if prompt.hash not in there}
        if not new:
            return
        rows += [
            {
                "id": prompt.id,
                "text": shown(prompt.text) if self.path.suffix == ".csv" else prompt.text,
                "slice": prompt.slice,
                "label": None,
                HASH: hash_,
            }
            for hash_, prompt in new.items()
        ]
        write_sheet(self.path, COLUMNS, rows)

    def waiting(self) -> int:
        """Rows that nobody has filled in."""
        return sum(is_empty(row.get("label")) for row in read_sheet(self.path))
