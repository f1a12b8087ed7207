"""Students against their teacher and against hard labels alone, on Banking77 and HWU64.

Prints a row for each student: accuracy on gold by seed, its mean as a share of the teacher's, the control's mean and
student − control, the latter two with paired 95% intervals over seeds and examples, seconds of training, and speed
beside the teacher's at batch 1 on one thread. Figures stand in docs/results.md.

    python benchmarks/students.py [--data banking77 hwu64] [--students encoder-3 static] [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tutelage.config import ColumnsConfig, EncoderTeacherConfig, StudentConfig
from tutelage.data import clean_gold, drop_repeats, exclude_gold, read_gold, read_prompts, split_training
from tutelage.distillation import Signals, distil_student, hard_labels
from tutelage.evaluation import measure_footprint
from tutelage.progress import Silent
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers.encoder import EncoderTeacher

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SOURCES = {
    "banking77": ("banking77/train.csv", "banking77/test.csv", ColumnsConfig(label="category")),
    "hwu64": ("hwu64/train", "hwu64/test", ColumnsConfig()),
}
STUDENTS = {
    "encoder-3": {"family": "encoder", "layers": 3},
    "encoder-2": {"family": "encoder", "layers": 2},
    "static": {"family": "static"},
}
NEAR_DUPLICATE = 0.85


@dataclass(frozen=True)
class World:
    """A data set as the example programmes read it, with the teacher's answers."""

    task: Classify
    signals: Signals
    gold_texts: list[str]
    gold_targets: np.ndarray
    teacher: Any
    teacher_right: np.ndarray
    labelling_seconds: float


def load(
    name: str, share: float = 0.3, seed: int = 0, teacher_class: Callable[..., Any] = EncoderTeacher
) -> World:
    """That share of the training labels, stratified, is known; the teacher answers all training texts."""
    train, test, columns = SOURCES[name]
    labelled = read_gold(DATA / train, columns, task=Classify(())).accepted
    sealed = read_gold(DATA / test, columns, task=Classify(())).accepted
    part = split_training(labelled, share, seed=seed)[0] if share < 1 else labelled
    gold = clean_gold(sealed, part, NEAR_DUPLICATE)
    task = Classify(tuple(sorted({item.value for item in (*gold.sealed, *labelled)})))
    traffic, _ = drop_repeats(read_prompts(DATA / train, columns).accepted)
    traffic, _ = exclude_gold(traffic, [item.prompt for item in gold.sealed], NEAR_DUPLICATE)
    known = {item.prompt.text: item.value for item in gold.training}
    texts = list(dict.fromkeys([*known, *(prompt.text for prompt in traffic)]))
    teacher = teacher_class(EncoderTeacherConfig(), TeacherContext(task, gold.training, DATA))
    started = time.perf_counter()
    answers = teacher.predict(texts)
    seconds = time.perf_counter() - started
    human = np.zeros_like(answers)
    human[: len(known)] = task.encode(list(known.values()))
    everywhere = np.ones(len(texts), bool)
    signals = Signals(
        tuple(texts), answers, everywhere, everywhere, human, np.arange(len(texts)) < len(known)
    )
    gold_texts = [item.prompt.text for item in gold.sealed]
    targets = task.encode([item.value for item in gold.sealed]).argmax(1)
    right = teacher.predict(gold_texts).argmax(1) == targets
    return World(task, signals, gold_texts, targets, teacher, right, seconds)


def measure(
    world: World, name: str, seed: int, arms: Sequence[str] = ("student", "control")
) -> dict[str, Any]:
    """Train student and control; return who is right on gold, and the seconds of each."""
    config = StudentConfig(seed=seed, **STUDENTS[name])
    result: dict[str, Any] = {}
    for arm in arms:
        signals = world.signals if arm == "student" else hard_labels(world.signals, "gold", world.task)
        started = time.perf_counter()
        trained = distil_student(signals, world.task, config, DATA, Silent())
        result[f"{arm}_seconds"] = time.perf_counter() - started
        result[arm] = trained.student.predict(world.gold_texts).argmax(1) == world.gold_targets
        result[f"{arm}_object"] = trained.student
    return result


def interval(
    statistic: Callable[[np.ndarray, np.ndarray], float], seeds: int, n: int, resamples: int = 4000
) -> str:
    """95% of a statistic over drawn seeds and examples (percentile bootstrap, both drawn anew each time)."""
    generator = np.random.default_rng(0)
    drawn = [
        statistic(generator.integers(seeds, size=seeds), generator.integers(n, size=n))
        for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{low:+.1%} to {high:+.1%}" if low < 0 or high < 0.5 else f"{low:.1%} to {high:.1%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set TUTELAGE_DATA")
    console = Console(width=170, highlight=False)
    for data in options.data:
        world = load(data)
        teacher_accuracy = world.teacher_right.mean()
        speed = measure_footprint(
            world.teacher.predict,
            world.gold_texts,
            folder=None,
            parameters=None,
            size_mb=None,
            calls=200,
            seconds=5,
        )
        table = Table(
            title=f"{data}: teacher {teacher_accuracy:.2%} on {len(world.gold_texts):,} gold, p50 "
            f"{speed.latency_p50_ms:.2f} ms; {len(world.signals):,} texts, {int(world.signals.has_gold.sum()):,} "
            f"with human labels; head and labelling {world.labelling_seconds:.0f} s"
        )
        for column in (
            "student", "accuracy by seed", "mean ± sd", "of the teacher's", "hard labels", "student − hard labels",
            "seconds", "p50 ms", "× teacher",
        ):  # fmt: skip
            table.add_column(column, justify="right", no_wrap=True)
        for name in options.students:
            table.add_row(name, *row(world, name, options.seeds, speed.latency_p50_ms))
        console.print(table)


def row(world: World, name: str, seeds: list[int], teacher_ms: float) -> list[str]:
    """The cells of one student."""
    results = [measure(world, name, seed) for seed in seeds]
    student = np.array([result["student"] for result in results], dtype=float)
    control = np.array([result["control"] for result in results], dtype=float)
    accuracies = student.mean(axis=1)
    teacher = world.teacher_right.astype(float)
    share = interval(lambda rows, at: student[rows][:, at].mean() / teacher[at].mean(), *student.shape)
    gain = interval(lambda rows, at: (student - control)[rows][:, at].mean(), *student.shape)
    seconds = [result["student_seconds"] for result in results]
    predict = results[0]["student_object"].predict
    speed = measure_footprint(
        predict, world.gold_texts, folder=None, parameters=None, size_mb=None, calls=1000, seconds=5
    )
    return [
        " ".join(f"{value:.1%}" for value in accuracies),
        f"{accuracies.mean():.2%} ± {accuracies.std(ddof=1) if len(seeds) > 1 else 0:.2%}",
        f"{accuracies.mean() / teacher.mean():.2%} ({share})",
        f"{control.mean():.2%}",
        f"{student.mean() - control.mean():+.2%} ({gain})",
        f"{np.mean(seconds):.0f} (most {max(seconds):.0f})",
        f"{speed.latency_p50_ms:.4f}",
        f"{teacher_ms / speed.latency_p50_ms:.0f}",
    ]


if __name__ == "__main__":
    main()
