"""How few gold labels a distilled student needs beside unlabelled traffic, against hard labels alone, on HWU64.

Of each share of the training labels, drawn anew by each seed and stratified: the teacher answers all training texts; a
student learns from those answers (and the share's labels), and the same student from the share's labels alone. The teacher
is the embedded encoder with a head fitted on that share, or with `--teacher` a checkpoint fine-tuned on it, all its layers
(`--ensemble` of them from other seeds, their mean); then the whole set's row has hard labels alone. The last column is the distilled student less the one that hard labels
on *all* texts make, paired, with a 95% interval over seeds and examples; at 12.5% at least -1 point was asked. The
test file measures and chooses nothing.

    python benchmarks/label_efficiency.py [--shares 0.125 0.25 0.5 1] [--students static encoder-2] [--seeds 0 1 2]
        [--teacher FOLDER_OR_HUB_NAME] [--ensemble 3] [--precision bfloat16] [--fine-tuning '{"epochs": 8}']
        [--folder /tmp/labels]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bert_size import bfloat16
from students import DATA, SOURCES, STUDENTS, World, interval, load, measure
from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.distillation import Signals, distil_student
from tutelage.progress import Silent
from tutelage.students import load_student
from tutelage.teachers import TeacherContext
from tutelage.teachers.encoder import EncoderTeacher

ASKED = {0.125: "≥ -1 point"}
FINE_TUNING = {"layers": 12, "epochs": 8, "batch_size": 32, "learning_rate": 1e-4}


class Remembering(EncoderTeacher):
    """Every share's head reads the same embeddings: a text is embedded once in a run."""

    _known: ClassVar[dict[str, npt.NDArray[np.float32]]] = {}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `EncoderTeacher.embed`."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            self._known.update(zip(missing, super().embed(missing), strict=True))
        return np.stack([self._known[text] for text in texts])


class FineTuned:
    """A checkpoint with all its layers taught by the share's labels; kept in a folder, as its answers are."""

    def __init__(self, options: argparse.Namespace, seed: int, config: Any, context: TeacherContext) -> None:
        self._task, self._precision = context.task, options.precision
        self._training = context.training
        base = str(Path(options.teacher).resolve()) if Path(options.teacher).exists() else options.teacher
        plan = {**FINE_TUNING, **options.fine_tuning}
        self._config = StudentConfig(base=base, seed=seed, precision=options.precision, **plan)
        texts = [(item.prompt.text, str(item.value)) for item in context.training]
        self._folder = options.folder / storage.hash_json([self._config.model_dump(), texts])[:8]

    @cached_property
    def _student(self) -> Any:
        place = self._folder / "teacher"
        if not (place / "student.json").exists():
            gold = self._task.encode([item.value for item in self._training])
            everyone, nobody = np.ones(len(gold), bool), np.zeros(len(gold), bool)
            texts = tuple(item.prompt.text for item in self._training)
            signals = Signals(texts, gold, nobody, nobody, gold, everyone)
            started = time.monotonic()
            trained = distil_student(
                signals, self._task, self._config, Path(), Silent(), checkpoint=self._folder / "checkpoint"
            )
            place.mkdir(parents=True, exist_ok=True)
            trained.student.save(place)
            print(f"teacher of {len(texts):,} labels: {time.monotonic() - started:.0f} s", flush=True)
        return load_student(place)

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities, float32 [n, labels]."""
        path = self._folder / f"answers-{storage.hash_json(list(texts))[:8]}.npy"
        if not path.exists():
            student = self._student  # trained where need be, which must not happen under autocast
            with bfloat16(self._precision):
                answers = student.predict(texts)
            np.save(path, answers)
        found: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
        return found


class Ensemble:
    """Several of them on the same labels, from seeds of their own; what they say in the mean."""

    def __init__(self, options: argparse.Namespace, seed: int, config: Any, context: TeacherContext) -> None:
        seeds = [seed + 1_000 * member for member in range(options.ensemble)]
        self._members = [FineTuned(options, own, config, context) for own in seeds]

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities, float32 [n, labels]."""
        found: npt.NDArray[np.float32] = np.mean([one.predict(texts) for one in self._members], axis=0)
        return found


class Nobody:
    """No teacher, where hard labels alone are wanted."""

    def __init__(self, config: Any, context: TeacherContext) -> None:
        self._labels = len(context.task.labels)

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Nothing of any label, float32 [n, labels]."""
        return np.zeros((len(texts), self._labels), np.float32)


@dataclass(frozen=True)
class Cell:
    """Who is right on gold: bool [seeds, examples]; and the labels that were known. No student: no teacher."""

    teacher: npt.NDArray[np.bool_]
    student: npt.NDArray[np.bool_] | None
    control: npt.NDArray[np.bool_]
    labels: int


def worlds(options: argparse.Namespace, share: float) -> list[World]:
    """One for each seed, which draws the labels that are known."""

    def teacher(seed: int) -> Callable[..., Any]:
        if not options.teacher:
            return Remembering
        return partial(Ensemble, options, seed) if share < 1 else Nobody

    return [load(options.data, share, seed, teacher(seed)) for seed in options.seeds]


def cell(found: Sequence[World], name: str, seeds: Sequence[int]) -> Cell:
    """Train both arms for each seed, or hard labels alone where nobody teaches."""
    taught = not isinstance(found[0].teacher, Nobody)
    arms = ("student", "control") if taught else ("control",)
    results = [measure(world, name, seed, arms) for world, seed in zip(found, seeds, strict=True)]
    return Cell(
        np.stack([world.teacher_right for world in found]),
        np.stack([result["student"] for result in results]) if taught else None,
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
    if now.student is None:
        return [name, f"{share:.1%} ({now.labels:,})", "-", f"{now.control.mean():.2%}", "-", "-", "-", ""]
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
    parser.add_argument(
        "--teacher", help="a folder or a hub name to fine-tune; the embedded encoder if absent"
    )
    parser.add_argument("--ensemble", type=int, default=1, help="how many of them teach together")
    parser.add_argument("--precision", default="auto", help="of that teacher")
    parser.add_argument("--fine-tuning", type=json.loads, default={}, help="keys of `student`, as JSON")
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/label_efficiency"), help="what it is kept in"
    )
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
        found = worlds(options, share)
        for name in options.students:
            now = cell(found, name, options.seeds)
            if share == 1:
                whole[name] = now
            table.add_row(*(cells := row(share, name, now, whole.get(name))))
            console.print("  ".join(cells))  # a run takes minutes: what is known is told
    console.print(table)


if __name__ == "__main__":
    main()
