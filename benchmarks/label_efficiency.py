"""How few gold labels a distilled student needs beside unlabelled traffic, against hard labels alone, on HWU64.

Of each share of the training labels, drawn anew by each seed and stratified: the teacher, the embedded encoder with a
head fitted on that share, answers all training texts; a student learns from those answers (and the share's labels), and
the same student from the share's labels alone. The last column is the distilled student less the one that hard labels
on *all* texts make, paired, with a 95% interval over seeds and examples; at 12.5% at least -1 point was asked. The
test file measures and chooses nothing.

    python benchmarks/label_efficiency.py [--shares 0.125 0.25 0.5 1] [--students static encoder-2] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from students import DATA, SOURCES, STUDENTS, World, interval, load, measure
from tutelage.teachers.encoder import EncoderTeacher

ASKED = {0.125: "≥ -1 point"}


class Remembering(EncoderTeacher):
    """Every share's head reads the same embeddings: a text is embedded once in a run."""

    _known: ClassVar[dict[str, npt.NDArray[np.float32]]] = {}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `EncoderTeacher.embed`."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            self._known.update(zip(missing, super().embed(missing), strict=True))
        return np.stack([self._known[text] for text in texts])


@dataclass(frozen=True)
class Cell:
    """Who is right on gold: bool [seeds, examples]; and the labels that were known."""

    teacher: npt.NDArray[np.bool_]
    student: npt.NDArray[np.bool_]
    control: npt.NDArray[np.bool_]
    labels: int


def worlds(data: str, share: float, seeds: Sequence[int]) -> list[World]:
    """One for each seed, which draws the labels that are known."""
    return [load(data, share, seed, Remembering) for seed in seeds]


def cell(found: Sequence[World], name: str, seeds: Sequence[int]) -> Cell:
    """Train both arms for each seed."""
    results = [measure(world, name, seed) for world, seed in zip(found, seeds, strict=True)]
    return Cell(
        np.stack([world.teacher_right for world in found]),
        np.stack([result["student"] for result in results]),
        np.stack([result["control"] for result in results]),
        int(found[0].signals.has_gold.sum()),
    )


def against(distilled: npt.NDArray[np.bool_], hard: npt.NDArray[np.bool_]) -> str:
    """The difference in points, with its interval."""
    difference = distilled.astype(float) - hard.astype(float)
    found = interval(lambda rows, at: difference[rows][:, at].mean(), *difference.shape)
    return f"{difference.mean():+.2%} ({found})"


def row(share: float, name: str, now: Cell, whole: Cell | None) -> list[str]:
    """The cells of one student at one share; `whole` is the same student's at all labels."""
    spread = now.student.mean(1).std(ddof=1) if len(now.student) > 1 else 0.0
    return [
        name,
        f"{share:.1%} ({now.labels:,})",
        f"{now.teacher.mean():.2%}",
        f"{now.control.mean():.2%}",
        f"{now.student.mean():.2%} ± {spread:.2%}",
        against(now.student, now.control),
        against(now.student, whole.control) if whole else "-",
        ASKED.get(share, ""),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="hwu64", choices=list(SOURCES))
    parser.add_argument("--shares", nargs="+", type=float, default=[0.125, 0.25, 0.5, 1.0])
    parser.add_argument("--students", nargs="+", default=["static", "encoder-2"], choices=list(STUDENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}. Mend: set TUTELAGE_DATA")
    if not all(0 < share <= 1 for share in options.shares):
        sys.exit(f"--shares are {options.shares}. Mend: each above 0 and at most 1")
    console = Console(width=180, highlight=False)
    table = Table(title=f"{options.data}: seeds {options.seeds}, which draw the labels too")
    for column in (
        "student", "gold labels", "teacher", "hard labels", "distilled ± sd", "distilled - hard labels",
        "distilled - hard labels on all", "asked",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    whole: dict[str, Cell] = {}
    for share in sorted(options.shares, reverse=True):  # all labels first: the others are compared with them
        found = worlds(options.data, share, options.seeds)
        for name in options.students:
            now = cell(found, name, options.seeds)
            if share == 1:
                whole[name] = now
            table.add_row(*(cells := row(share, name, now, whole.get(name))))
            console.print("  ".join(cells))  # a run takes minutes: what is known is told
    console.print(table)


if __name__ == "__main__":
    main()
