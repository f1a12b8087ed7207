"""SmolLM2-135M into ten of its layers, from its kept top-k: perplexity before, with SFT alone and distilled.

The text set is CommonsenseQA's questions with a large model's rationales; each rationale follows its question. The teacher
reads them once, and of each token its likeliest alternatives are kept, as `labelling.signals: [tokens]` keeps them. Both arms
start from the same cut weights, see the same texts in the same order, and are looked at on texts that neither has seen. With
`--dense` a third arm learns from the teacher's whole distributions, its weights beside it.

Also printed: bytes a token of the cache, and how far the divergence by a list is below the whole one, as KL and as the
cosine of their gradients.

    python benchmarks/token_distillation.py [--texts 256] [--tests 64] [--tokens 48] [--k 20] [--epochs 1] [--layers 10]
        [--batch-size 8] [--learning-rate 1e-4] [--text-weight 0.5] [--divergence forward-kl] [--seeds 0] [--dense]
        [--precision bfloat16]

The defaults take some minutes on two cores; on a GPU take --texts 9000 --tests 700 --tokens 128 --k 32 --epochs 3.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tutelage.config import EMBEDDED_WRITER, StudentConfig, TokensConfig
from tutelage.distillation import TextSignals, TokenCache, TokenTeacher, distil_texts, untrained
from tutelage.distillation.losses import ForwardKL, TopK, token_divergence
from tutelage.distillation.text_objectives import IGNORED
from tutelage.progress import Silent
from tutelage.signals import TokenLogprobs, Vocabulary, pack, token_manifest
from tutelage.students import new_writing_learner
from tutelage.tasks import Generate

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
FOLDER = DATA / "step_by_step_rationales" / "cqa"
TASK = Generate("Explain the answer.")
BATCH = 8
MOST_BYTES = 300  # a token, of the cache


def read_rows() -> list[tuple[str, str]]:
    """Questions with rationales, each up to where its writer begins another question."""
    lines = (FOLDER / "cqa_train.json").read_text(encoding="utf-8").splitlines()
    parts = sorted((FOLDER / "palm").glob("train_CoT_*.json"), key=lambda p: int(p.stem.rpartition("_")[2]))
    told = [
        text.partition("Q:")[0].strip() for p in parts for text in json.loads(p.read_text(encoding="utf-8"))
    ]
    asked = [json.loads(line)["question"] for line in lines]
    return [(question, text) for question, text in zip(asked, told, strict=True) if text]


def cut(learner: Any, rows: Sequence[tuple[str, str]], most: int) -> TextSignals:
    """Rationales of at most `most` tokens, their ends not counted."""
    model = learner.codec.model
    values = [model.decode(model.text_ids(f" {text}")[:most]).strip() for _, text in rows]
    empty = ("",) * len(rows)
    return TextSignals(tuple(text for text, _ in rows), tuple(values), empty, (None,) * len(rows))


def label_logits(module: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [tokens, vocabulary] at all labels of a batch, and the labels [tokens]."""
    learned = batch["labels"] != IGNORED
    logits = module(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits[learned].float(), batch["labels"][learned]


@torch.no_grad()
def perplexity(module: Any, examples: Any) -> float:
    total, count = 0.0, 0
    for start in range(0, len(examples), BATCH):
        batch = examples.batch(np.arange(start, min(start + BATCH, len(examples))))
        logits, labels = label_logits(module, batch)
        total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
        count += len(labels)
    return math.exp(total / count)


@torch.no_grad()
def keep(module: Any, examples: Any, k: int) -> list[bytes]:
    """Each answer's tokens as a cache keeps them: the text's own first, then the likeliest others."""
    packed = []
    for index in range(len(examples)):
        logits, labels = label_logits(module, examples.batch(np.array([index])))
        logprobs = torch.log_softmax(logits, -1)
        others = logprobs.scatter(1, labels[:, None], -torch.inf).topk(k - 1, dim=-1)
        ids = torch.cat([labels[:, None], others.indices], 1).int().numpy()
        listed = torch.cat([logprobs.gather(1, labels[:, None]), others.values], 1).clamp_max(0.0)
        packed.append(pack(TokenLogprobs(((b"",) * k,) * len(ids), listed.numpy(), ids)))
    return packed


def against_dense(teacher: Any, student: Any, examples: Any, k: int) -> tuple[float, float, float]:
    """Mean KL a token by whole distributions and by lists, and the cosine of their gradients on logits."""
    dense = listed = count = 0.0
    cosines = []
    for start in range(0, len(examples), BATCH):
        batch = examples.batch(np.arange(start, min(start + BATCH, len(examples))))
        with torch.no_grad():
            whole, labels = label_logits(teacher, batch)
            logits, _ = label_logits(student, batch)
            logprobs = torch.log_softmax(whole, -1)
            others = logprobs.scatter(1, labels[:, None], -torch.inf).topk(k - 1, dim=-1)
            ids = torch.cat([labels[:, None], others.indices], 1)
        every = torch.ones(len(labels), dtype=torch.bool)
        slopes = []
        for side in (whole, TopK(logprobs.gather(1, ids).clamp_max(0.0), ids)):
            leaf = logits.clone().requires_grad_()
            loss = token_divergence(ForwardKL(), leaf, side, every)
            loss.backward()
            slopes.append((float(loss.detach()), leaf.grad))
        dense, listed, count = dense + slopes[0][0], listed + slopes[1][0], count + len(labels)
        cosines += torch.cosine_similarity(slopes[0][1], slopes[1][1]).tolist()
    return dense / count, listed / count, float(np.mean(cosines))


def plan_of(arguments: argparse.Namespace) -> StudentConfig:
    """The cut student, and how it is taught."""
    return StudentConfig(
        family="causal",
        layers=arguments.layers,
        template="own",
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        precision=arguments.precision,
        recipe="tokens",
        tokens=TokensConfig(divergence=arguments.divergence, text_weight=arguments.text_weight),
    )


def kept_signals(
    learner: Any, teacher: TokenTeacher, scoring: Any, learning: TextSignals, k: int, console: Console
) -> TextSignals:
    """The texts with the teacher's lists, whose size is told; ends where they are too large."""
    examples = learner.encode(learning.texts, learning.targets)
    started = time.monotonic()
    packed = keep(scoring, examples, k)
    seconds = time.monotonic() - started
    tokens = sum(len(pair.answer) for pair in examples.pairs)
    size = sum(map(len, packed)) / tokens
    console.print(
        f"{len(learning)} texts, {tokens:,} tokens; kept in {seconds:.0f} s at {size:.0f} bytes a token "
        f"(k = {k}; {MOST_BYTES} are the most; {4 * scoring.config.vocab_size:,} dense)"
    )
    if size > MOST_BYTES:
        raise SystemExit(f"the cache takes {size:.0f} bytes a token; {MOST_BYTES} are the most")
    vocabulary = Vocabulary.of(learner.codec.model.tokenizer)
    made_with = token_manifest("local", EMBEDDED_WRITER, teacher.revision, TASK.version, k, vocabulary)
    return replace(learning, tokens=TokenCache(made_with, tuple(packed)))


def arms_of(
    plan: StudentConfig, arguments: argparse.Namespace, teacher: TokenTeacher
) -> Iterator[tuple[str, StudentConfig, dict[str, Any]]]:
    """Name, configuration and options of each arm."""
    yield "SFT alone", plan, {"control": True}
    yield f"distilled, cached top-{arguments.k}", plan, {}
    if arguments.dense and plan.tokens:
        given = plan.tokens.model_copy(update={"source": "online"})
        yield "distilled, dense", plan.model_copy(update={"tokens": given}), {"teacher": teacher}


def measure(arguments: argparse.Namespace) -> None:
    console = Console(width=120)
    rows = read_rows()[: arguments.texts + arguments.tests]
    plan = plan_of(arguments)
    learner = new_writing_learner(plan, TASK, Path())
    teacher = TokenTeacher.at(EMBEDDED_WRITER, Path())
    scoring = teacher.load(learner, EMBEDDED_WRITER)
    learning, tests = (
        cut(learner, part, arguments.tokens) for part in (rows[: arguments.texts], rows[arguments.texts :])
    )
    unseen = learner.encode(tests.texts, tests.targets)
    kept = kept_signals(learner, teacher, scoring, learning, arguments.k, console)
    few = learner.encode(tests.texts[:16], tests.targets[:16])
    whole, listed, cosine = against_dense(scoring, learner.module.eval(), few, arguments.k)
    console.print(
        f"KL a token of the cut student: {whole:.3f} by whole distributions, {listed:.3f} by lists "
        f"({listed / whole:.1%}); gradients' cosine {cosine:.3f}"
    )
    table = Table("arm", "seed", "perplexity, unseen", "steps", "best", "seconds")
    table.add_row("teacher, all layers", "", f"{perplexity(scoring, unseen):.2f}", "", "", "")
    before = perplexity(model_of(untrained(kept, TASK, plan, Path()).student), unseen)
    table.add_row(f"{arguments.layers} layers, before", "", f"{before:.2f}", "", "", "")
    for seed in arguments.seeds:
        for name, planned, options in arms_of(plan.model_copy(update={"seed": seed}), arguments, teacher):
            distilled = distil_texts(kept, TASK, planned, Path(), Silent(), **options)
            record = distilled.record
            found = f"{perplexity(model_of(distilled.student), unseen):.2f}"
            table.add_row(
                name, str(seed), found, str(record.steps), str(record.best_step), f"{record.seconds:.0f}"
            )
            console.print(f"{name}, seed {seed}: {found} ({record.seconds:.0f} s)")
    console.print(table)


def model_of(student: Any) -> Any:
    return student._model.model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--tests", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=48, help="of a text at most")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--text-weight", type=float, default=0.5)
    parser.add_argument("--divergence", default="forward-kl")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--precision", default="auto", help="of training; perplexity is of float32")
    parser.add_argument("--dense", action="store_true")
    arguments = parser.parse_args()
    if not FOLDER.is_dir():
        raise SystemExit(f"{FOLDER} is absent. Mend: set TUTELAGE_DATA to the folder that holds it")
    measure(arguments)


if __name__ == "__main__":
    main()
