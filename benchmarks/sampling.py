"""Which prompts to label: what sampling plans are worth, on data whose every label is known.

The traffic is a training file without its labels; the teacher says the file's own label. A first round of 500 is drawn at
random, then each plan adds to what it has until 1,000, 2,000 and 4,000 are labelled, its first student learning anew
from what was labelled so far before each round, as `tutelage plan` does. Then a static student learns what was labelled, and
is scored on the test file, which no plan sees. Random sampling of the same size is what a plan has to beat: the
last column is the mean difference over seeds, with a t interval of the seeds' differences.

    python benchmarks/sampling.py [--data banking77 hwu64] [--seeds 0 1 2] [--plans random cluster ...] [--keep FILE]
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy import stats

from tutelage.config import ColumnsConfig, SamplingName, StudentConfig
from tutelage.data import read_gold
from tutelage.data.clusters import cluster_count, fit_clusters
from tutelage.data.sampling import (
    at_random,
    by_score,
    by_value,
    density,
    disagreement,
    in_turn,
    uncertainty,
)
from tutelage.data.word_space import WordSpace
from tutelage.distillation import Signals, distil_student
from tutelage.progress import Silent
from tutelage.records import Gold
from tutelage.stages.first_student import train_committee
from tutelage.tasks import Classify

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SOURCES = {
    "banking77": ("banking77/train.csv", "banking77/test.csv", ColumnsConfig(label="category")),
    "hwu64": ("hwu64/train", "hwu64/test", ColumnsConfig()),
}
FIRST, SIZES = 500, (1_000, 2_000, 4_000)


@dataclass(frozen=True, eq=False)
class World:
    """Texts with their labels, where they lie, and what is tested on."""

    task: Classify
    traffic: list[Gold]
    test: list[Gold]
    points: npt.NDArray[np.float32]
    clusters: npt.NDArray[np.int32]

    @classmethod
    def read(cls, name: str) -> World:
        """One data set; clusters and space are of its traffic alone."""
        path, test, columns = SOURCES[name]
        traffic = read_gold(DATA / path, columns, task=Classify(())).accepted
        traffic = list({item.prompt.hash: item for item in traffic}.values())
        tested = list(read_gold(DATA / test, columns, task=Classify(())).accepted)
        task = Classify(tuple(sorted({str(item.value) for item in traffic})))
        texts = [item.prompt.text for item in traffic]
        points = WordSpace.fit(texts).embed(texts)
        clusters, _ = fit_clusters(texts, points, cluster_count(len(texts))).place(points)
        return cls(task, traffic, tested, points, clusters)

    def signals(self, rows: npt.NDArray[np.int64]) -> Signals:
        """What the teacher says of these rows of the traffic."""
        labels = self.task.encode([self.traffic[row].value for row in rows])
        yes, no = np.ones(len(rows), bool), np.zeros(len(rows), bool)
        texts = tuple(self.traffic[row].prompt.text for row in rows)
        return Signals(texts, labels, no, yes, np.zeros_like(labels), no)


def ordered(world: World, plan: str, taken: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """The candidates as the plan would ask them."""
    if plan == "random":
        return at_random(taken, seed)
    if plan == "cluster":
        return in_turn(world.clusters, taken, seed)
    texts = [item.prompt.text for item in world.traffic]
    members = train_committee(world.signals(np.flatnonzero(taken)), world.task, Silent())
    said = [member.predict(texts) for member in members]
    doubt = uncertainty(np.mean(said, axis=0), multi_label=False)
    if plan == "stratified":
        return in_turn(np.mean(said, axis=0).argmax(axis=1).astype(np.int32), taken, seed)
    if plan == "uncertainty":
        return by_score(doubt, taken, seed)
    if plan == "disagreement":
        return by_score(disagreement(said, multi_label=False), taken, seed)
    cost = np.array([50.0 + len(text.encode()) for text in texts])  # a prompted teacher's, in tokens or so
    value = doubt * density(world.points, np.ones(len(texts), np.int64))
    return by_value(value, cost, world.clusters, taken, seed)


def accuracy(world: World, taken: npt.NDArray[np.bool_], seed: int) -> float:
    """Of a static student of what was labelled, on the test file."""
    config = StudentConfig(family="static", members=1, seed=seed)
    student = distil_student(
        world.signals(np.flatnonzero(taken)), world.task, config, Path(), Silent()
    ).student
    said = world.task.decide(student.predict([item.prompt.text for item in world.test]))
    return float(np.mean([value == item.value for value, item in zip(said, world.test, strict=True)]))


def scores(world: World, plan: str, seed: int) -> list[float]:
    """By size."""
    taken = np.zeros(len(world.traffic), dtype=bool)
    taken[at_random(taken, 1_000 + seed)[:FIRST]] = True
    found = []
    for size in SIZES:
        taken[ordered(world, plan, taken, seed)[: size - int(taken.sum())]] = True
        found.append(accuracy(world, taken, seed))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--plans", nargs="+", choices=get_args(SamplingName), default=get_args(SamplingName))
    parser.add_argument("--keep", type=Path, help="a JSON file of what is done, to go on from")
    given = parser.parse_args()
    kept = json.loads(given.keep.read_text()) if given.keep and given.keep.exists() else {}
    for name in given.data:
        world = World.read(name)
        for seed in given.seeds:
            for plan in dict.fromkeys(("random", *given.plans)):
                key = f"{name} {plan} {seed}"
                if key not in kept:
                    kept[key] = scores(world, plan, seed)
                    if given.keep:
                        given.keep.write_text(json.dumps(kept))
        show(name, given.plans, given.seeds, kept)


def show(name: str, plans: list[str], seeds: list[int], kept: dict[str, list[float]]) -> None:
    table = Table(title=f"{name}: accuracy of a static student, mean of {len(seeds)} seeds (± their spread)")
    table.add_column("plan")
    for size in SIZES:
        table.add_column(f"{size:,}", justify="right")
        table.add_column("against random (95%)", justify="right")
    for plan in plans:
        own, random = (np.array([kept[f"{name} {one} {seed}"] for seed in seeds]) for one in (plan, "random"))
        cells = []
        for column in range(len(SIZES)):
            spread = own[:, column].std(ddof=1) if len(seeds) > 1 else float("nan")
            cells.append(f"{own[:, column].mean():.1%} ± {spread:.1%}")
            cells.append("" if plan == "random" else difference(own[:, column] - random[:, column]))
        table.add_row(plan, *cells)
    Console(width=140).print(table)


def difference(found: npt.NDArray[np.float64]) -> str:
    if len(found) < 2:
        return f"{100 * found.mean():+.1f}"
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return f"{100 * found.mean():+.1f} ({100 * (found.mean() - half):+.1f} to {100 * (found.mean() + half):+.1f})"


if __name__ == "__main__":
    main()
