"""A step that reads the teacher's layers from disk, against the same step with the teacher beside the student.

For each recipe that teaches layers: milliseconds of a step (batch, forward, backward, optimiser) either way, in
processor time of one thread, so that what else runs counts little; their ratio with the range over rounds; after
how many steps keeping has paid for itself; and the bytes kept of a token. Both sides take turns on the same batches.
Teachers have BERT's size and random weights, on which speed doesn't depend.

    python benchmarks/cached_signals.py [--recipes distilbert tinybert minilm] [--rounds 5] [--steps 4] [--texts FILE.csv]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from students import DATA, SOURCES
from tutelage.checkpoints import resolve_checkpoint
from tutelage.config import EMBEDDED_ENCODER, StudentConfig
from tutelage.data import read_prompts
from tutelage.distillation import Signals
from tutelage.distillation.examples import Batches
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes import RECIPES
from tutelage.distillation.teacher_body import TeacherBody
from tutelage.students import Learner, new_learner
from tutelage.students.bodies import load_shape, load_tokenizer, new_body
from tutelage.tasks import Classify

TASK = Classify(("a", "b"))
TINY = {"layers": 4, "hidden_size": 312, "heads": 12, "intermediate_size": 1200}
SMALL = {"layers": 6, "hidden_size": 384, "heads": 12, "intermediate_size": 1536}
BATCH = 32
# Students of the papers, each of a teacher of BERT's size; distilbert is that of a teacher without an MLM head.
STUDENTS: dict[str, dict[str, Any]] = {"distilbert": {"layers": 6}, "tinybert": TINY, "minilm": SMALL}


def save_teacher(folder: Path) -> Path:
    """12 layers × 768, with the tokenizer of the embedded encoder."""
    source = resolve_checkpoint(EMBEDDED_ENCODER, folder)
    shape = load_shape(source)
    shape.num_hidden_layers, shape.hidden_size = 12, 768
    shape.num_attention_heads, shape.intermediate_size = 12, 3072
    torch.manual_seed(0)
    new_body(shape).save_pretrained(folder)
    load_tokenizer(source).save_pretrained(folder)
    return folder


def phase_of(recipe: str, texts: tuple[str, ...], folder: Path, kept: Path | None) -> Phase:
    """The recipe's first phase."""
    config = StudentConfig(recipe=recipe, base="teacher", body={"batch_size": BATCH}, **STUDENTS[recipe])
    n = len(texts)
    nobody = np.zeros((n, len(TASK.labels)), np.float32)
    signals = Signals(texts, nobody, np.zeros(n, bool), np.zeros(n, bool), nobody, np.zeros(n, bool))
    few = signals.take(np.arange(BATCH))
    body = TeacherBody.at("teacher", folder)

    def fresh(seed: int) -> Learner:
        return new_learner(config.model_copy(update={"seed": seed}), TASK, texts, folder)

    material = Material(TASK, fresh(0), signals, few, folder, fresh, texts, body, kept=kept)
    return next(iter(RECIPES[recipe](config, n, 0).phases(material)))


class Stepper:
    """A phase, step by step, as the trainer takes them."""

    def __init__(self, phase: Phase) -> None:
        self.phase, self.objective = phase, phase.objective.train()
        self.optimizer = phase.optimizer(self.objective, phase.schedule.learning_rate)
        self.batches = [np.asarray(batch) for batch in Batches(phase.learning.lengths, BATCH, seed=0)]

    def seconds(self, first: int, steps: int) -> float:
        """Of a step, the mean of several."""
        started = time.process_time()
        for number in range(first, first + steps):
            batch = self.phase.learning.batch(self.batches[number % len(self.batches)])
            counts, sums = self.objective.counts(batch), self.objective(**batch)
            loss = sum(weight * sums[name] / counts[name] for name, weight in self.objective.weights.items())
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        return (time.process_time() - started) / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--texts", type=int, default=512, help="how many of Banking77's")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, _, columns = SOURCES["banking77"]
    prompts = read_prompts(DATA / train, columns).accepted
    order = np.random.default_rng(0).permutation(len(prompts))[: arguments.texts]
    texts = tuple(dict.fromkeys(prompts[index].text for index in order))
    table = Table("recipe", "student", "online ms", "kept ms", "ratio", "range", "pays after", "bytes/token")
    console = Console(width=100)
    for recipe in arguments.recipes:
        table.add_row(*(cells := row(recipe, texts, arguments.rounds, arguments.steps)))
        console.print("  ".join(cells))  # a run takes minutes: what is known is told
    console.print(f"{len(texts)} texts, batch {BATCH}, one thread, torch {torch.__version__}")
    console.print(table)


def row(recipe: str, texts: tuple[str, ...], rounds: int, steps: int) -> list[str]:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_teacher(folder / "teacher")
        online = Stepper(phase_of(recipe, texts, folder, None))
        started = time.process_time()
        kept = Stepper(phase_of(recipe, texts, folder, folder / "kept"))
        filling = time.process_time() - started
        size = sum(path.stat().st_size for path in (folder / "kept").rglob("*.safetensors"))
        for one in (online, kept):
            one.seconds(0, 1)
        pairs = [(online.seconds(n * steps, steps), kept.seconds(n * steps, steps)) for n in range(rounds)]
    ratios = [slow / fast for slow, fast in pairs]
    slow, fast = (statistics.median(side) for side in zip(*pairs, strict=True))
    shape = STUDENTS[recipe]
    return [
        recipe,
        f"{shape['layers']} × {shape.get('hidden_size', 768)}",
        f"{1e3 * slow:.0f}",
        f"{1e3 * fast:.0f}",
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"{filling / (slow - fast):.0f} steps" if slow > fast else "never",
        f"{size / online.phase.learning.lengths.sum():,.0f}",
    ]


if __name__ == "__main__":
    main()
