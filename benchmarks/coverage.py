"""Is what `tutelage coverage` says so? On Banking77 and HWU64 with shifts that are known, and its time and memory.

Three tables. What gold lacks: ten labels are taken out of gold (or none), and of the traffic that is flagged as unlike
gold so much has one of them (precision), of the traffic that has one so much is flagged (recall). What weights are worth:
half of the labels are thinned out of gold to a fifth, a classifier of words that has learned half of the labels
badly is scored on gold, on gold weighted, and on the traffic, whose labels are known here. What it costs: texts
made of Banking77's, two joined, in a process of its own.

    python benchmarks/coverage.py [--only lacks weights costs] [--data banking77 hwu64] [--seeds 0 1 2 3 4]
        [--rows 100000] [--embedding words]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tutelage.config import ColumnsConfig
from tutelage.data import read_gold
from tutelage.data.arrivals import Arrival
from tutelage.data.word_space import WordSpace
from tutelage.evaluation.likeness import Likeness, Space, liken
from tutelage.evaluation.weighting import Weights, label_weights, weighted_accuracy
from tutelage.records import Gold
from tutelage.tasks import Classify
from tutelage.teachers.sentence_encoder import SentenceEncoder

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SOURCES = {
    "banking77": ("banking77/train.csv", ColumnsConfig(label="category")),
    "hwu64": ("hwu64/train", ColumnsConfig()),
}
TABLES = ("lacks", "weights", "costs")
LACKING = 10  # labels
GOLD = 2_000
THINNED = 0.2
TEACHER = 0.9


@dataclass(frozen=True)
class Pool:
    """Labelled texts of one source, of which some are gold and others traffic."""

    examples: Sequence[Gold]
    labels: Sequence[str]

    @classmethod
    def read(cls, name: str) -> Pool:
        """All of a source's examples."""
        path, columns = SOURCES[name]
        rows = read_gold(DATA / path, columns, task=Classify(()))
        return cls(rows.accepted, sorted({str(item.value) for item in rows.accepted}))


def split(pool: Pool, seed: int, keep: dict[str, float]) -> tuple[list[Gold], list[Gold]]:
    """Gold of at most GOLD, each label's with so much probability, and the rest of the pool, unshifted."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(pool.examples))
    half = len(order) // 3
    gold = [pool.examples[index] for index in order[:half]]
    gold = [item for item in gold if generator.random() < keep.get(str(item.value), 1.0)]
    return gold[:GOLD], [pool.examples[index] for index in order[half:]]


def likeness(gold: Sequence[Gold], traffic: Sequence[Gold], seed: int, embedding: str) -> Likeness:
    space: Space = (
        WordSpace.fit([item.prompt.text for item in traffic], seed=seed)
        if embedding == "words"
        else SentenceEncoder.named(embedding, Path())
    )
    arrived = [Arrival(item.prompt, 1) for item in traffic]
    return liken(arrived, [item.prompt for item in gold], [], space, seed=seed)


def planted(pool: Pool, seed: int, lacking: int, embedding: str) -> dict[str, float]:
    """Precision and recall of what is flagged, and what the tests say."""
    taken = np.random.default_rng(100 + seed).choice(pool.labels, lacking, replace=False)
    gold, traffic = split(pool, seed, {str(label): 0.0 for label in taken})
    found = likeness(gold, traffic, seed, embedding)
    flagged = [entry["cluster"] for entry in found.clusters if entry["state"] != "covered"]
    is_flagged = np.isin(found.traffic.clusters, flagged)
    lacks = np.isin([str(item.value) for item in traffic], taken)
    told = found.to_json()
    return {
        "lacked": float(lacks.mean()),
        "flagged": told["unlike"]["estimate"],
        "precision": float(lacks[is_flagged].mean()) if is_flagged.any() else float("nan"),
        "recall": float(is_flagged[lacks].mean()) if lacks.any() else float("nan"),
        "beyond": told["beyond_reach"]["estimate"],
        "auc": told["classifier"]["auc"],
        "mmd p": told["kernel"]["p"],
    }


def weighted(pool: Pool, seed: int, embedding: str) -> dict[str, float]:
    """Accuracy on gold, on gold weighted and on the traffic, of a classifier that is bad at the thinned half."""
    generator = np.random.default_rng(200 + seed)
    thinned = set(generator.choice(pool.labels, len(pool.labels) // 2, replace=False).tolist())
    gold, traffic = split(pool, seed, dict.fromkeys(thinned, THINNED))
    learned = [
        item
        for item in traffic[: len(traffic) // 2]
        if str(item.value) not in thinned or generator.random() < 0.1
    ]
    met = traffic[len(traffic) // 2 :]
    words = TfidfVectorizer(sublinear_tf=True)
    model = LogisticRegression(C=20, max_iter=300)
    model.fit(words.fit_transform(texts_of(learned)), [str(item.value) for item in learned])
    right = [
        model.predict(words.transform(texts_of(some))) == np.array([str(item.value) for item in some])
        for some in (gold, met)
    ]
    found = likeness(gold, met, seed, embedding)
    figures: dict[str, float] = {"gold": float(right[0].mean()), "traffic": float(right[1].mean())}
    for name, weights in {**found.weights(), "label": by_label(pool, gold, met, generator)}.items():
        if weights is not None:
            one = weighted_accuracy(right[0], weights)
            figures[name] = one["estimate"]
            figures[f"{name} covers"] = float(one["low"] <= figures["traffic"] <= one["high"])
            figures[f"{name} worth"] = one["effective_n"] / len(gold)
    return figures


def by_label(
    pool: Pool, gold: Sequence[Gold], met: Sequence[Gold], generator: np.random.Generator
) -> Weights | None:
    """Weights by the label of a teacher that is right in 90 of 100."""
    codes = []
    for some in (gold, met):
        truth = np.array([pool.labels.index(str(item.value)) for item in some])
        wrong = generator.random(len(some)) > TEACHER
        codes.append(np.where(wrong, generator.integers(len(pool.labels), size=len(some)), truth))
    traffic = np.bincount(codes[1], minlength=len(pool.labels))
    return label_weights(traffic, codes[0], np.zeros(len(pool.labels), dtype=bool))


def texts_of(examples: Sequence[Gold]) -> list[str]:
    return [item.prompt.text for item in examples]


def costs(rows: int) -> None:
    """Of one likeness with its tests and weights, in this process; prints a line."""
    pool = Pool.read("banking77")
    generator = np.random.default_rng(0)
    texts = texts_of(pool.examples)
    pairs = generator.integers(len(texts), size=(rows, 2))
    traffic = [
        Gold(type(pool.examples[0].prompt)(f"t{number}", f"{texts[a]} {texts[b]}"), "")
        for number, (a, b) in enumerate(pairs)
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    wall, processor = time.perf_counter(), time.process_time()
    found = likeness(pool.examples[:3_000], traffic, 0, "words")
    found.to_json()
    found.weights()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"{rows:,} texts: {time.perf_counter() - wall:.0f} s, {time.process_time() - processor:.0f} s of processor, "
        f"{peak:,.0f} MB at most ({before:,.0f} of them the texts and Python), {len(found.names)} clusters"
    )


def show(title: str, rows: dict[str, list[dict[str, float]]]) -> None:
    made = Table(title=title, title_justify="left")
    columns = list(dict.fromkeys(key for runs in rows.values() for run in runs for key in run))
    for column in ("", *columns):
        made.add_column(column, justify="right" if column else "left")
    for name, runs in rows.items():
        cells = [np.array([run.get(column, np.nan) for run in runs]) for column in columns]
        made.add_row(name, *("–" if np.isnan(cell).all() else _spread(cell) for cell in cells))
    Console(width=150).print(made)


def _spread(values: Any) -> str:
    return f"{np.nanmean(values):.3f} ({np.nanmin(values):.2f}–{np.nanmax(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--data", nargs="+", choices=sorted(SOURCES), default=sorted(SOURCES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--rows", nargs="+", type=int, default=[100_000])
    parser.add_argument("--embedding", default="words")
    parser.add_argument("--cost-of", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cost_of:
        costs(asked.cost_of)
        return
    pools = {name: Pool.read(name) for name in asked.data}
    if "lacks" in asked.only:
        show(
            "What gold lacks: mean (least–most) over seeds",
            {
                f"{name}, gold lacks {lacking} labels": [
                    planted(pool, seed, lacking, asked.embedding) for seed in asked.seeds
                ]
                for name, pool in pools.items()
                for lacking in (LACKING, 0)
            },
        )
    if "weights" in asked.only:
        show(
            "Accuracy on gold, on the traffic, and weighted",
            {
                name: [weighted(pool, seed, asked.embedding) for seed in asked.seeds]
                for name, pool in pools.items()
            },
        )
    if "costs" in asked.only:
        for rows in asked.rows:
            subprocess.run([sys.executable, __file__, "--cost-of", str(rows)], check=True)


if __name__ == "__main__":
    main()
