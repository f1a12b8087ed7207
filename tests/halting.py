"""A progress that has a training stand still after its first checkpoint, so that a test can end a process there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage.progress import Silent, Tracker


class HaltingProgress(Silent):
    """In the step that follows the first checkpoint in `checkpoints` it waits for `told`/on, once.

    `told`/halted is there once it does, and `told`/steps has a line for each step that was run: by which process,
    its number, of what.
    """

    def __init__(self, checkpoints: Path, told: Path) -> None:
        self._checkpoints, self._told = checkpoints, told

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Tracker]:
        """See `Progress.track`."""
        yield _Step(self._checkpoints, self._told, description, done) if unit == "steps" else Silent()


class _Step:
    def __init__(self, checkpoints: Path, told: Path, description: str, done: int) -> None:
        self._checkpoints, self._told = checkpoints, told
        self._description, self._done, self._follows = description, done, False

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        with (self._told / "steps").open("a") as file:
            file.write(f"{os.getpid()} {self._done} {self._description}\n")
        if self._follows and not (self._told / "halted").exists():
            (self._told / "halted").touch()
            while not (self._told / "on").exists():
                time.sleep(0.05)
        self._follows = any(self._checkpoints.rglob("checkpoint.json"))


def lives(steps: Path) -> list[list[tuple[int, str]]]:
    """The steps that each process ran, in order: their number, and what of."""
    rows = [line.split(" ", 2) for line in steps.read_text().splitlines()]
    processes = dict.fromkeys(process for process, _, _ in rows)
    return [[(int(number), what) for one, number, what in rows if one == process] for process in processes]
