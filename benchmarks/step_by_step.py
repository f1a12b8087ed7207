"""Reasons against labels alone (Hsieh et al. 2023), on SVAMP and CommonsenseQA with a large model's rationales.

Prints a row for each data set, student and share of the training set: accuracy on the test set with reasons, with labels
alone, and their difference with a 95% interval over seeds and test questions; the paper's figures stand beside ours, which
are of other models. Questions are the data's test sets, answers the data's own ("ground truth" in the paper).

    python benchmarks/step_by_step.py [--data svamp cqa] [--students t5-own smollm2-10] [--shares 0.125 0.25 0.5 1]
        [--seeds 0 1 2] [--epochs N] [--tests N] [--minutes N] [--precision bfloat16]

`t5-own` is a small T5 with random weights and a tokenizer made of the training set, by recipe `step-by-step`; `smollm2-10`
is ten layers of SmolLM2-135M by `rationale-causal`. Any other student is a hub name or a folder: T5's kin learn by
`step-by-step`, causal models by `rationale-causal`. The paper's own size, on a GPU:

    python benchmarks/step_by_step.py --students google/t5-v1_1-base --epochs 200 --batch-size 64 --learning-rate 5e-5

With `--minutes` no arm is begun that the ones before say can't be finished in time; what is left out is told.
"""

from __future__ import annotations

import argparse
import ast
import json
import operator
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tutelage.config import StudentConfig
from tutelage.distillation import TextSignals, distil_texts
from tutelage.progress import Silent
from tutelage.tasks import Generate

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
FOLDER = DATA / "step_by_step_rationales"
# T5-base (220M), ground truth, all of the data: standard fine-tuning and step-by-step (the paper's table 2, PaLM-540B).
PAPER = {"svamp": (0.6263, 0.6550), "cqa": (0.6219, 0.6329)}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
RESAMPLES = 2_000


@dataclass(frozen=True)
class Example:
    """A question with its answer and, of the training set, the large model's reasons."""

    question: str
    answer: str
    rationale: str = ""


@dataclass(frozen=True)
class World:
    """A data set. `right` tells whether an answer is the reference."""

    task: Generate
    training: list[Example]
    tests: list[Example]
    right: Callable[[str, str], bool]


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _rationales(folder: Path) -> list[str]:
    """The large model's texts, each up to where it begins to make up a question of its own, and without its answer."""
    parts = sorted(
        (folder / "palm").glob("train_CoT_*.json"), key=lambda path: int(path.stem.rpartition("_")[2])
    )
    texts = [text for part in parts for text in json.loads(part.read_text(encoding="utf-8"))]
    cut = [text.partition("Q:")[0] for text in texts]
    return [text.partition("So the answer is")[0].partition("The answer is")[0].strip() for text in cut]


def load(name: str) -> World:
    folder = FOLDER / name
    rationales = _rationales(folder)
    rows, tests = _lines(folder / f"{name}_train.json"), _lines(folder / f"{name}_test.json")
    if name == "svamp":
        training = [
            Example(row["input"], row["label"], why) for row, why in zip(rows, rationales, strict=True)
        ]
        return World(
            Generate("Write the equation that answers the question."),
            training,
            [Example(row["input"], row["label"]) for row in tests],
            lambda ours, theirs: _value(ours) is not None and _value(ours) == _value(theirs),
        )
    training = [Example(_choices(row), row["answer"], why) for row, why in zip(rows, rationales, strict=True)]
    tested = [Example(_choices(row), row["answer"]) for row in tests]
    return World(Generate("Answer with one of the choices."), training, tested, str.__eq__)


def _choices(row: dict) -> str:
    shown = " ".join(f"({letter}) {choice}" for letter, choice in zip("abcde", row["choices"], strict=True))
    return f"{row['question']} Answer choices: {shown}"


def _value(equation: str) -> float | None:
    """What an equation comes to, rounded; None for what is none."""
    try:
        return round(_evaluated(ast.parse(equation.strip(), mode="eval").body), 4)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):
        return None


def _evaluated(node: ast.AST) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return float(OPERATORS[type(node.op)](_evaluated(node.left), _evaluated(node.right)))
    raise ValueError("no arithmetic")


def signals_of(examples: Sequence[Example], with_reasons: bool) -> TextSignals:
    kept = [example for example in examples if example.answer]
    return TextSignals(
        tuple(example.question for example in kept),
        tuple(example.answer for example in kept),
        tuple(example.rationale if with_reasons else "" for example in kept),
        (None,) * len(kept),
    )


def configuration(name: str, world: World, folder: Path, arguments: argparse.Namespace) -> dict:
    common = {
        key: value
        for key, value in (
            ("epochs", arguments.epochs),
            ("batch_size", arguments.batch_size),
            ("learning_rate", arguments.learning_rate),
        )
        if value
    }
    common["max_tokens"] = 256
    if name == "t5-own":
        base = _own_t5(folder, world)
        shape = {"layers": 4, "hidden_size": 256, "heads": 4, "intermediate_size": 512}
        return {"family": "seq2seq", "recipe": "step-by-step", "base": str(base), **shape, **common}
    if name.startswith("smollm2-"):
        layers = int(name.removeprefix("smollm2-"))
        return {"family": "causal", "recipe": "rationale-causal", "layers": layers, **common}
    return {**_recipe_of(name), "base": name, **common}


def _recipe_of(name: str) -> dict:
    from transformers import AutoConfig

    seq2seq = AutoConfig.from_pretrained(name, trust_remote_code=False).is_encoder_decoder
    if seq2seq:
        return {"family": "seq2seq", "recipe": "step-by-step"}
    return {"family": "causal", "recipe": "rationale-causal"}


def _own_t5(folder: Path, world: World) -> Path:
    """A configuration of T5's with a byte-level tokenizer of the training texts; weights are made by the recipe."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast, T5Config

    made = ByteLevelBPETokenizer()
    texts = [part for row in world.training for part in (row.question, row.answer, row.rationale)]
    made.train_from_iterator(texts, vocab_size=4096, special_tokens=["<pad>", "</s>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, pad_token="<pad>", eos_token="</s>")
    tokenizer.save_pretrained(folder)
    shape = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    shape.save_pretrained(folder)
    return folder


@dataclass
class Clock:
    """Minutes for all, and what an example of each student's arms took so far."""

    minutes: float | None
    started: float = field(default_factory=time.monotonic)
    longest: dict[str, float] = field(default_factory=dict)

    def has_room(self, student: str) -> bool:
        """Whether both arms of such a student, as the slowest so far, would end in time."""
        if self.minutes is None:
            return True
        left = 60 * self.minutes - (time.monotonic() - self.started)
        return left > self.longest.get(student, 0.0)

    def took(self, student: str, seconds: float) -> None:
        """Remember what both arms took."""
        self.longest[student] = max(self.longest.get(student, 0.0), seconds)


def arm(
    world: World,
    config: StudentConfig,
    examples: Sequence[Example],
    tests: Sequence[Example],
    with_reasons: bool,
):
    """Which tests are answered right: bool [tests]."""
    signals = signals_of(examples, with_reasons)
    student = distil_texts(signals, world.task, config, Path(), Silent()).student
    if torch.cuda.is_available():
        student.to("cuda")
    found = student.answers([test.question for test in tests], world.task)
    return np.array(
        [
            parsed.value is not None and world.right(str(parsed.value), test.answer)
            for parsed, test in zip(found, tests, strict=True)
        ]
    )


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95% of the mean difference, seeds and questions both resampled; `differences` is [seeds, questions]."""
    generator = np.random.default_rng(0)
    seeds, questions = differences.shape
    means = [
        differences[generator.integers(seeds, size=seeds)][
            :, generator.integers(questions, size=questions)
        ].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def measure(name: str, student: str, arguments: argparse.Namespace, clock: Clock, table: Table) -> list[str]:
    """Add a row for each share; return what was left out for want of time."""
    world = load(name)
    tests = world.tests[: arguments.tests]
    left_out = []
    with tempfile.TemporaryDirectory() as folder:
        base = configuration(student, world, Path(folder), arguments)
        for share in arguments.shares:
            rows = []
            for seed in arguments.seeds:
                if not clock.has_room(student):
                    left_out.append(f"{name} {student} {share:.1%} seed {seed}")
                    continue
                chosen = np.random.default_rng(seed).permutation(len(world.training))
                examples = [world.training[index] for index in chosen[: round(share * len(chosen))]]
                started = time.monotonic()
                config = StudentConfig(**base, seed=seed, precision=arguments.precision)
                rows.append([arm(world, config, examples, tests, reasons) for reasons in (True, False)])
                clock.took(student, time.monotonic() - started)
                reasons, labels = np.mean(rows[-1], axis=1)
                print(
                    f"{name} {student} {share:.1%} of {len(world.training)} seed {seed}: {reasons:.1%} with reasons, "
                    f"{labels:.1%} with labels alone, {time.monotonic() - started:.0f} s",
                    flush=True,
                )
            if rows:
                outcomes = np.array(rows, dtype=float)  # [seeds, arms, questions]
                told(table, name, student, share, outcomes)
    return left_out


def told(table: Table, name: str, student: str, share: float, outcomes: np.ndarray) -> None:
    reasons, labels = outcomes.mean(axis=(0, 2))
    low, high = interval(outcomes[:, 0] - outcomes[:, 1])
    paper = PAPER[name] if share == 1 else None
    table.add_row(
        name,
        student,
        f"{share:.1%}",
        str(len(outcomes)),
        f"{reasons:.1%}",
        f"{labels:.1%}",
        f"{100 * (reasons - labels):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        f"{paper[1]:.1%} / {paper[0]:.1%}" if paper else "",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["svamp", "cqa"], choices=["svamp", "cqa"])
    parser.add_argument("--students", nargs="+", default=["t5-own", "smollm2-10"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.125, 0.25, 0.5, 1.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--precision", default="auto", help="of training")
    parser.add_argument("--tests", type=int, help="test questions at most; all where absent")
    parser.add_argument("--minutes", type=float, help="for all of it")
    arguments = parser.parse_args()
    if not FOLDER.is_dir():
        raise SystemExit(f"{FOLDER} is absent. Mend: set TUTELAGE_DATA to the folder that holds it")
    columns = [
        "data",
        "student",
        "share",
        "seeds",
        "with reasons",
        "labels alone",
        "difference, points",
        "paper, T5-base",
    ]
    table = Table(*columns, title="Test accuracy; the paper's: with reasons / labels alone")
    clock = Clock(arguments.minutes)
    left_out = [
        item
        for name in arguments.data
        for student in arguments.students
        for item in measure(name, student, arguments, clock, table)
    ]
    console = Console(width=140)
    console.print(table)
    if left_out:
        console.print(f"Left out for want of time: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
