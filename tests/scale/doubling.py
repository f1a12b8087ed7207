"""Work on batches of numbers, where workers of a cluster can import it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import DataError


@dataclass(frozen=True)
class Doubling:
    """Doubles, and takes its time. The first process that meets `dies_at` ends, and leaves a mark in `marks`."""

    marks: Path | None = None
    dies_at: int = -1

    def __call__(self, batch: Sequence[int]) -> list[int]:
        if 13 in batch:
            raise DataError("13 is no number to double")
        if self.marks is not None and self.dies_at in batch and not (self.marks / "died").exists():
            (self.marks / "died").touch()
            os._exit(1)
        time.sleep(0.01 * (len(batch) % 3))
        return [2 * number for number in batch]
