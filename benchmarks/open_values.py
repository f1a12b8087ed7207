"""How often the intervals of open values' figures hold the truth: `python benchmarks/open_values.py`.

Worlds are drawn in which the truth is known from 200,000 examples; of each, `--draws` gold sets. Nominal is
95%; beside each share stands its Monte-Carlo error.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from scipy.stats import norm

from tutelage.evaluation import Arm
from tutelage.evaluation._coded import encode
from tutelage.evaluation._measured import measure_arms
from tutelage.evaluation.detection import auroc, recall_at
from tutelage.records import Fields, Gold, Prompt
from tutelage.tasks import Extract, Generate, Judge

EXTRACT = Extract(
    {
        "type": "object",
        "properties": {
            "about": {"enum": ["a", "b", "c"]},
            "amount": {"type": ["integer", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    }
)
JUDGE = Judge(tuple("12345"), "How good?", scored=True)
GENERATE = Generate()
WORDS = [
    "we",
    "send",
    "your",
    "parcel",
    "refund",
    "today",
    "soon",
    "again",
    "order",
    "next",
    "week",
    "please",
    "wait",
]


def record(generator):
    tags = [str(tag) for tag in generator.choice(["x", "y", "z"], size=generator.integers(0, 4))]
    amount = None if generator.random() < 0.3 else int(generator.integers(1, 9))
    return {"about": "abc"[generator.integers(3)], "amount": amount, "tags": tags}


def records(generator, n):
    for _ in range(n):
        truth, other = record(generator), record(generator)
        careless = 0.3 if generator.random() < 0.3 else 0.05  # some records are hard as a whole
        yield (
            Fields(truth),
            Fields({key: (other if generator.random() < careless else truth)[key] for key in truth}),
        )


def scores(generator, n):
    for _ in range(n):
        truth = int(generator.choice(5, p=[0.05, 0.1, 0.2, 0.3, 0.35])) + 1
        said = int(np.clip(round(truth + generator.normal(0.1, 0.8)), 1, 5))
        yield str(truth), str(said)


def texts(generator, n):
    for _ in range(n):
        words = generator.choice(WORDS, size=7).tolist()
        kept = generator.random() < 0.6
        said = (
            words
            if kept
            else [word if generator.random() < 0.5 else str(generator.choice(WORDS)) for word in words]
        )
        yield " ".join(words), " ".join(said)


WORLDS = {
    "records": (EXTRACT, records, ("field_precision", "field_recall", "field_f1", "mean_score")),
    "scores": (JUDGE, scores, ("kappa", "linear_kappa", "quadratic_kappa", "mean_distance", "bias")),
    "texts": (GENERATE, texts, ("chrf", "rouge_l")),
}


def figures(task, pairs, resamples, seed):
    gold = [Gold(Prompt(str(row), str(row)), truth) for row, (truth, _) in enumerate(pairs)]
    arms = {"student": Arm("student", "s", [said for _, said in pairs])}
    return measure_arms(encode(task, gold, arms), arms, seed=seed, resamples=resamples).figures("student")


def shown(inside, draws):
    share = inside / draws
    return f"{share:6.1%} ±{math.sqrt(max(share * (1 - share), 1 / draws) / draws):.1%}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--truth", type=int, default=50_000)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    sizes = (20, 50, 200)
    print(f"{'figure':26}" + "".join(f"{f'n = {n}':>16}" for n in sizes))
    for name, (task, world, names) in WORLDS.items():
        begun = time.perf_counter()
        truth = figures(task, list(world(np.random.default_rng(99), arguments.truth)), 1, 0)
        inside = {(figure, n): 0 for figure in names for n in sizes}
        for n in sizes:
            generator = np.random.default_rng(n)
            for draw in range(arguments.draws):
                found = figures(task, list(world(generator, n)), arguments.resamples, draw)
                for figure in names:
                    low, high = found[figure]["low"], found[figure]["high"]
                    known = low is not None and low <= truth[figure]["estimate"] <= high
                    inside[figure, n] += known
        for figure in names:
            row = "".join(f"{shown(inside[figure, n], arguments.draws):>16}" for n in sizes)
            print(f"{name + ': ' + figure:26}{row}")
        print(f"  ({time.perf_counter() - begun:.0f} s)")
    print(f"\n{'out of scope':26}{'area':>8}{'AUROC':>16}{'recall at 5%':>16}")
    for outside, inside_, shift in ((8, 8, 2), (15, 200, 2), (15, 200, 3), (50, 1000, 3), (100, 100, 0.5)):
        generator = np.random.default_rng(outside)
        area, recall = norm.cdf(shift / math.sqrt(2)), norm.sf(norm.isf(0.05) - shift)
        hits = [0, 0]
        for _ in range(arguments.draws):
            ours, theirs = generator.normal(shift, 1, size=outside), generator.normal(size=inside_)
            one, other = auroc(ours, theirs), recall_at(ours, theirs, 0.05)
            hits[0] += one["low"] <= area <= one["high"]
            hits[1] += other["low"] <= recall <= other["high"]
        name = f"{outside} outside, {inside_} inside"
        print(f"{name:26}{area:8.3f}" + "".join(f"{shown(hit, arguments.draws):>16}" for hit in hits))


if __name__ == "__main__":
    main()
