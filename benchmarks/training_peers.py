"""A training step beside TextBrewer's and trl's: the same models, batches, optimiser and precision.

Three rows: soft targets into an encoder of 4 × 312 from one of 12 × 768, of random weights, with TextBrewer's teacher beside
the student as by default; the same with the teacher's logits kept, which both can; and SFT on completions of SmolLM2's first
layers, of trl's. All texts are of one length, so that nobody's batches hold more padding. Milliseconds of a step are processor
time of one thread, from one step of the optimiser to the next, the median of a run's; sides take turns, and the ratio is theirs
over ours, the median of the rounds and their range.

    python benchmarks/training_peers.py [--rows online kept sft] [--rounds 3] [--steps 16] [--batch-size 32]

TextBrewer (`textbrewer`) and trl with `datasets` are no dependencies: run it in an environment that has them beside this
project. A row whose peer isn't there says so.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cached_signals import TINY, save_teacher
from students import DATA, SOURCES
from token_distillation import TASK, read_rows
from tutelage.config import StudentConfig
from tutelage.data import read_prompts
from tutelage.distillation import SoftTargets, distil
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.text_objectives import TextObjective
from tutelage.distillation.trainer import train
from tutelage.progress import Silent
from tutelage.students import new_writing_learner
from tutelage.students._tokens import Pair
from tutelage.students.bodies import load_body, load_tokenizer, shaped_body
from tutelage.students.encoder import EncoderNetwork
from tutelage.students.optimizers import adamw

LABELS, LENGTH, RATE, CLIP = 77, 20, 1e-4, 1.0
PROMPT, ANSWER = 24, 24  # tokens of an example of SFT
HELD_BACK = 8  # texts of our validation, which trainers without one don't look at

WARM_UP = 3  # steps that aren't counted


class Clock:
    """Makes optimisers, and notes when each of their steps ended: seconds of the process's time."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def adamw(self, module: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
        """As students are taught by."""
        optimizer = adamw(module, rate)
        optimizer.register_step_post_hook(lambda *_: self.ends.append(time.process_time()))
        return optimizer

    @property
    def milliseconds(self) -> float:
        """From a step to the next, the median."""
        return 1e3 * statistics.median(np.diff(self.ends[WARM_UP:]))


Run = Callable[[Clock], None]


@dataclass(frozen=True)
class Sides:
    """Both ways to take the same steps."""

    ours: Run
    theirs: Run


def plan(steps: int, batch_size: int) -> Schedule:
    """One look at validation, at the end."""
    return Schedule(RATE, batch_size, steps, warmup=0.0, checks=1, clip=CLIP, precision="float32")


# Soft targets into an encoder


@dataclass(frozen=True)
class Encoders:
    """Teacher, student and the texts' tokens, int64 [texts, LENGTH] by name."""

    teacher: EncoderNetwork
    student: EncoderNetwork
    inputs: dict[str, torch.Tensor]

    @classmethod
    def made(cls, folder: Path, texts: int) -> Encoders:
        """Of random weights; Banking77's texts, cut or filled up to one length."""
        base = save_teacher(folder / "teacher")
        shape = StudentConfig(base=str(base), **TINY)
        train_file, _, columns = SOURCES["banking77"]
        prompts = read_prompts(DATA / train_file, columns).accepted[:texts]
        tokens = load_tokenizer(str(base))(
            [prompt.text for prompt in prompts],
            truncation=True, max_length=LENGTH, padding="max_length", return_tensors="pt",
        )  # fmt: skip
        torch.manual_seed(0)
        teacher = EncoderNetwork(load_body(str(base)), LABELS).eval()
        student = EncoderNetwork(shaped_body(shape, str(base)), LABELS)
        return cls(teacher, student, {name: tokens[name] for name in ("input_ids", "attention_mask")})

    def sides(self, steps: int, batch_size: int, *, kept: bool) -> Sides:
        """Ours never has a teacher beside the student; TextBrewer's is `kept` where it is told so."""
        with torch.no_grad():
            logits = torch.cat(
                [self.teacher(**self._rows(start, start + 64)) for start in range(0, self.count, 64)]
            )
        return Sides(
            lambda clock: self._ours(clock, steps, batch_size, logits),
            lambda clock: self._textbrewer(clock, steps, batch_size, kept=kept),
        )

    @property
    def count(self) -> int:
        """Texts."""
        return len(self.inputs["input_ids"])

    def _rows(self, start: int, end: int) -> dict[str, torch.Tensor]:
        return {name: part[start:end] for name, part in self.inputs.items()}

    def _ours(self, clock: Clock, steps: int, batch_size: int, logits: torch.Tensor) -> None:
        recipe = SoftTargets(4.0, 0.0, plan(steps, batch_size))
        distil(
            logits, copy.deepcopy(self.student), self.inputs,
            recipe=recipe, validation=HELD_BACK / self.count, optimizer=clock.adamw,
        )  # fmt: skip

    def _textbrewer(self, clock: Clock, steps: int, batch_size: int, *, kept: bool) -> None:
        from textbrewer import BasicDistiller, DistillationConfig, TrainingConfig

        logging.getLogger("Distillation").setLevel(logging.WARNING)
        student = copy.deepcopy(self.student).train()
        rows = [
            {name: part[index] for name, part in self.inputs.items()}
            for index in range(self.count - HELD_BACK)
        ]
        loader = torch.utils.data.DataLoader(rows, batch_size, shuffle=True, drop_last=True)
        with tempfile.TemporaryDirectory() as folder:
            distiller = BasicDistiller(
                TrainingConfig(device="cpu", output_dir=folder, ckpt_epoch_frequency=steps),
                DistillationConfig(temperature=4, is_caching_logits=kept),
                self.teacher, student, _logits, _logits,
            )  # fmt: skip
            distiller.train(
                clock.adamw(student, RATE), loader, 1, torch.optim.lr_scheduler.LambdaLR,
                {"lr_lambda": plan(steps, batch_size).rate}, max_grad_norm=CLIP,
            )  # fmt: skip


def _logits(batch: Any, output: torch.Tensor) -> dict[str, torch.Tensor]:
    """What TextBrewer calls an adaptor."""
    return {"logits": output}


# SFT


@dataclass(frozen=True)
class Writers:
    """SmolLM2's first layers, and examples of one length."""

    learner: Any
    pairs: list[Pair]

    @classmethod
    def made(cls, texts: int, layers: int) -> Writers:
        """CommonsenseQA's questions with their rationales, those that are long enough."""
        config = StudentConfig(family="causal", layers=layers, template="own")
        learner = new_writing_learner(config, TASK, Path())
        asked, told = zip(*read_rows()[: 8 * texts], strict=True)
        found = [
            Pair(pair.prompt[-PROMPT:], pair.answer[:ANSWER])
            for pair in learner.encode(asked, told).pairs
            if len(pair.prompt) >= PROMPT and len(pair.answer) >= ANSWER
        ]
        return cls(learner, found[:texts])

    def sides(self, steps: int, batch_size: int) -> Sides:
        """Ours, and trl's `SFTTrainer`."""
        return Sides(
            lambda clock: self._ours(clock, steps, batch_size),
            lambda clock: self._trl(clock, steps, batch_size),
        )

    def _ours(self, clock: Clock, steps: int, batch_size: int) -> None:
        learning, few = (
            self.learner.batched(part) for part in (self.pairs[HELD_BACK:], self.pairs[:HELD_BACK])
        )
        module = copy.deepcopy(self.learner.module)
        train(
            TextObjective(module),
            learning,
            few,
            plan(steps, batch_size),
            Silent(),
            "SFT",
            optimizer=clock.adamw,
        )

    def _trl(self, clock: Clock, steps: int, batch_size: int) -> None:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        pairs = self.pairs[HELD_BACK:]
        rows = {
            "input_ids": [[*pair.prompt, *pair.answer] for pair in pairs],
            "completion_mask": [[0] * PROMPT + [1] * ANSWER for _ in pairs],
        }
        module = copy.deepcopy(self.learner.module)
        with tempfile.TemporaryDirectory() as folder:
            arguments = SFTConfig(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=batch_size, max_grad_norm=CLIP,
                use_cpu=True, bf16=False, gradient_checkpointing=False, completion_only_loss=True, max_length=None,
                logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
            )  # fmt: skip
            optimizer = clock.adamw(module, RATE)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, plan(steps, batch_size).rate)
            SFTTrainer(
                module, arguments, train_dataset=Dataset.from_dict(rows), optimizers=(optimizer, schedule),
                processing_class=self.learner.codec.model.tokenizer,
            ).train()  # fmt: skip


# Time


def milliseconds(run: Run) -> float:
    """Of a step of one run."""
    clock = Clock()
    run(clock)
    return clock.milliseconds


def row(name: str, peer: str, sides: Sides, rounds: int) -> list[str]:
    """The cells of a row."""
    pairs = [(milliseconds(sides.ours), milliseconds(sides.theirs)) for _ in range(rounds)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [slow / fast for fast, slow in pairs]
    return [
        name,
        peer,
        f"{ours:.0f}",
        f"{theirs:.0f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
    ]


def cells(name: str, options: argparse.Namespace, folder: Path) -> list[str]:
    """A row, or that its peer is absent."""
    peer = "trl" if name == "sft" else "textbrewer"
    wanted = ("trl", "datasets") if name == "sft" else ("textbrewer",)
    if missing := [package for package in wanted if find_spec(package) is None]:
        return [name, peer, "", "", f"not measured: {', '.join(missing)} isn't installed"]
    texts = options.steps * options.batch_size + HELD_BACK
    if name == "sft":
        sides = Writers.made(texts, options.layers).sides(options.steps, options.batch_size)
    else:
        sides = Encoders.made(folder / name, texts).sides(
            options.steps, options.batch_size, kept=name == "kept"
        )
    return row(name, peer, sides, options.rounds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("online", "kept", "sft")
    parser.add_argument("--rows", nargs="+", default=names, choices=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16, help="of a run; the first three don't count")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--layers", type=int, default=2, help="of SmolLM2, for sft")
    options = parser.parse_args()
    if options.steps < WARM_UP + 2:
        raise SystemExit(f"--steps is {options.steps}. Mend: {WARM_UP + 2} at least")
    torch.set_num_threads(1)
    np.random.seed(0)  # trl's and TextBrewer's own order
    warnings.filterwarnings("ignore", category=SyntaxWarning)  # TextBrewer's
    console = Console(width=120, highlight=False)
    table = Table("row", "peer", "ours, ms a step", "theirs", "theirs / ours (asked: 1)")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.rows:
            table.add_row(*(found := cells(name, options, Path(folder))))
            console.print("  ".join(found))  # a run takes minutes: what is known is told
    console.print(f"batch {options.batch_size}, one thread, float32, torch {torch.__version__}")
    console.print(table)


if __name__ == "__main__":
    main()
