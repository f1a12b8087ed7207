"""Work of a training, where workers of a cluster can import it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import ConfigError
from tutelage.progress import Progress, Silent, Tracker
from tutelage.stages.train import Training


@dataclass(frozen=True)
class Beginning:
    """Begun for the first time it takes two minutes; begun again it is done at once, or fails where it is to."""

    folder: Path
    fails: bool = False

    def __call__(self, progress: Progress) -> str:
        mark = self.folder / "begun"
        with progress.track("training", 2, "steps") as tracker:
            tracker.advance(1, "first step")
            if self.fails:
                raise ConfigError("student.base is none")
            if not mark.exists():
                progress.note("begun")
                mark.touch()
                time.sleep(120)
            tracker.advance(1, "second step")
        return "went on where it was"


class Halting(Training):
    """A training that stands still for ten minutes at the step that follows its first checkpoint, once.

    `halted` beside the checkpoints then says that it does; `steps` has a line for each step that was run:
    which arm's, and by which process.
    """

    def __call__(self, progress: Progress) -> str:
        """See `Training`."""
        return super().__call__(_Stepping(self.checkpoints))


class _Stepping(Silent):
    def __init__(self, checkpoints: Path) -> None:
        self._folder = checkpoints

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Tracker]:
        yield _Step(self._folder, description, done) if unit == "steps" else Silent()


class _Step:
    def __init__(self, folder: Path, description: str, done: int) -> None:
        self._folder, self._description, self._done = folder, description, done

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        with (self._folder.parent / "steps").open("a") as file:
            file.write(f"{os.getpid()} {self._done} {self._description}\n")
        halted = self._folder.parent / "halted"
        if not halted.exists() and list(self._folder.rglob("checkpoint.json")):
            halted.touch()
            time.sleep(600)
