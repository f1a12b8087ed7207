"""Work of a training, where workers of a cluster can import it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from halting import HaltingProgress
from tutelage.errors import ConfigError
from tutelage.progress import Progress
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
    """A training that stands still at the step after its first checkpoint, once; see `HaltingProgress`."""

    def __call__(self, progress: Progress) -> str:
        """See `Training`."""
        return super().__call__(HaltingProgress(self.checkpoints, self.checkpoints.parent))
