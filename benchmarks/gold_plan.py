"""What `gold --plan` promises, held against draws: is gold of the planned size as sure as it says?

Traffic of 40 clusters, whose shares fall as 1/rank and whose accuracies differ; texts come in once or often. One prompt in
twenty is critical. Gold is planned for a margin in all and in the critical slice, the prompts are drawn as the plan
draws them, part of them goes to training, and a student that is right as often as its cluster says is measured on the rest with
the interval that evaluation reports (exact). Each line: planned examples and what came of them after the split; the
interval's mean half-width, and how often it is within the margin; how often it holds the traffic's accuracy, each
arrival counted; and of as many texts drawn without regard to how often each came in, how often.

    python benchmarks/gold_plan.py [--draws 400] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from tutelage.data.gold_plan import ALL, draw_stratified, slice_needs
from tutelage.evaluation.intervals import proportion_interval

CLUSTERS, TEXTS, CRITICAL = 40, 20_000, 0.05
SEALED = 0.6
MARGINS = {ALL: (0.02, 0.04, 0.08), "critical": (0.05, 0.1)}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class World:
    """For each text its cluster, how often it came in, whether it is critical, how often it is answered right."""

    clusters: Ints
    counts: Ints
    critical: npt.NDArray[np.bool_]
    right: Floats

    @classmethod
    def of(cls, accuracy: float, generator: np.random.Generator) -> World:
        """Clusters' accuracies lie around `accuracy`, which is that of all arrivals; what is asked often is easier."""
        shares = 1 / np.arange(1, CLUSTERS + 1)
        clusters = generator.choice(CLUSTERS, TEXTS, p=shares / shares.sum())
        counts = np.minimum(generator.zipf(2.2, TEXTS), 200)
        of_cluster = generator.beta(accuracy * 12, (1 - accuracy) * 12, CLUSTERS)[clusters]
        odds = of_cluster / (1 - of_cluster) * np.where(counts > 1, 1.5, 1.0)
        low, high = 1e-3, 1e3
        for _ in range(60):
            middle = np.sqrt(low * high)
            right = odds * middle / (1 + odds * middle)
            low, high = (low, middle) if np.average(right, weights=counts) > accuracy else (middle, high)
        return cls(clusters, counts, generator.random(TEXTS) < CRITICAL, right)

    def accuracy(self, part: str) -> float:
        """Of all arrivals of a slice, or all."""
        chosen = self.critical if part == "critical" else np.ones(TEXTS, np.bool_)
        return float(np.average(self.right[chosen], weights=self.counts[chosen]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    table = Table(
        "slice",
        "margin",
        "planned at",
        "in truth",
        "needed",
        "sealed",
        "half-width",
        "within",
        "holds",
        "by text",
    )
    for expected, true in ((0.9, 0.9), (0.9, 0.8), (0.9, 0.95), (0.95, 0.95)):
        for part, margins in MARGINS.items():
            for margin in margins:
                table.add_row(*line(part, margin, expected, true, asked.draws, asked.seed))
    Console(width=120).print(table)


def line(part: str, margin: float, expected: float, true: float, draws: int, seed: int) -> list[str]:
    """One line of the table."""
    generator = np.random.default_rng(seed)
    worlds = [World.of(true, generator) for _ in range(5)]
    found: dict[str, list[float]] = {name: [] for name in ("n", "width", "within", "holds", "by text")}
    need = 0
    for draw in range(draws):
        world = worlds[draw % len(worlds)]
        there = np.flatnonzero(world.critical) if part == "critical" else np.arange(TEXTS)
        (needed, _) = planned(part, margin, expected, there)
        need = needed.need
        truth = world.accuracy(part)
        for name, weights in (("holds", world.counts), ("by text", np.ones_like(world.counts))):
            chosen = there[
                draw_stratified(
                    needed.rows, world.clusters[there], weights[there], np.zeros(CLUSTERS), seed=seed + draw
                )
            ]
            sealed = generator.permutation(chosen)[: round(SEALED * len(chosen))]
            successes = int((generator.random(len(sealed)) < world.right[sealed]).sum())
            low, high = proportion_interval(successes, len(sealed))
            found[name].append(low <= truth <= high)
            if name == "holds":
                found["n"].append(len(sealed))
                found["width"].append((high - low) / 2)
                found["within"].append((high - low) / 2 <= margin)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return [
        part,
        f"±{margin:.1%}",
        f"{expected:.0%}",
        f"{true:.0%}",
        f"{need:,}",
        f"{means['n']:,.0f}",
        f"±{means['width']:.2%}",
        f"{means['within']:.0%}",
        f"{means['holds']:.1%}",
        f"{means['by text']:.1%}",
    ]


def planned(part: str, margin: float, expected: float, there: Ints) -> tuple:
    """What the plan says of a slice that has nothing yet."""
    needs = slice_needs(
        Counter(),
        Counter(),
        Counter({part: len(there)}),
        {part: (margin, "a margin"), ALL: (margin, "a margin")},
        accuracy=expected,
        sealed_share=SEALED,
    )
    return needs[0], needs[-1]


if __name__ == "__main__":
    main()
