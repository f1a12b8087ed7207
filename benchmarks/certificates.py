"""How often a certified bound is broken, and what share of requests it lets the student answer.

Each population of predictions (a linear model of character n-grams on the test files of Banking77 and HWU64,
and a made-up student of 200,000 predictions) is sampled with replacement as calibration part, many times; its
risk at the threshold found is then computed over the whole population, so that a broken bound is seen without
error. Beside it two habits: a plain threshold (answer where confidence is at least 1 − bound), and the point
estimate (the laxest threshold whose share of errors on the calibration part is within the bound).

    python benchmarks/certificates.py [--splits 500] [--rows 1000] [--delta 0.05] [--bounds 0.01 0.02 0.05]
    [--seed 20]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tutelage.serving import Among, Bound, CalibrationPart, Certified, Reference, certify, threshold_list

DATA = Path(os.environ.get("TUTELAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Population = tuple[
    Floats, Flags, Floats
]  # confidence and error of the labelled, confidence of the unlabelled


def made_up(generator: np.random.Generator, size: int = 200_000) -> Population:
    """A student that is a little overconfident: right with probability c^1.3 at confidence c."""
    confidence = generator.beta(6, 1, size)
    return confidence, generator.random(size) > confidence**1.3, generator.beta(6, 1, 5000)


def read_rows(name: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Training and test rows (text, label) of a data set."""
    import csv

    folder = DATA / name
    if name == "banking77":
        parts = []
        for part in ("train.csv", "test.csv"):
            with (folder / part).open(newline="", encoding="utf-8") as file:
                parts.append([(row["text"], row["category"]) for row in csv.DictReader(file)])
        return parts[0], parts[1]
    texts = [(folder / part / "seq.in").read_text().splitlines() for part in ("train", "test")]
    labels = [(folder / part / "label").read_text().splitlines() for part in ("train", "test")]
    train, test = (list(zip(*pair, strict=True)) for pair in zip(texts, labels, strict=True))
    return train, test


def real(name: str, seed: int) -> Population:
    """A linear model of four fifths of the training file; the last fifth is the unlabelled part."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train, test = read_rows(name)
    order = np.random.default_rng(seed).permutation(len(train))
    cut = len(train) * 4 // 5
    shaped = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True)
    matrix = shaped.fit_transform(train[row][0] for row in order[:cut])
    model = LogisticRegression(C=30.0, max_iter=300)
    model.fit(matrix, [train[row][1] for row in order[:cut]])
    apart = model.predict_proba(shaped.transform(train[row][0] for row in order[cut:])).max(axis=1)
    said = model.predict_proba(shaped.transform(text for text, _ in test))
    wrong = model.classes_[said.argmax(axis=1)] != np.array([label for _, label in test])
    return said.max(axis=1), wrong, apart


def risk(confidence: Floats, wrong: Flags, threshold: float, among: Among) -> tuple[float, float]:
    """A population's share of errors at a threshold, and the share answered."""
    answered = confidence >= threshold
    if not answered.any():
        return 0.0, 0.0
    errors = float((answered & wrong).mean())
    share = float(answered.mean())
    return (errors if among is Among.ALL else errors / share), share


def point_estimate(confidence: Floats, wrong: Flags, limit: float, among: Among) -> float:
    """The laxest threshold with so few errors on the calibration part."""
    order = np.argsort(-confidence)
    errors = np.cumsum(wrong[order])
    under = len(confidence) if among is Among.ALL else np.arange(1, len(confidence) + 1)
    good = np.flatnonzero(errors / under <= limit)
    return float(confidence[order[good[-1]]]) if len(good) else float("inf")


def sweep(population: Population, bound: Bound, options: argparse.Namespace) -> dict[str, tuple[float, ...]]:
    """By way of choosing: splits with a broken bound, mean share answered, splits without a threshold."""
    confidence, wrong, apart = population
    generator = np.random.default_rng(options.seed)
    thresholds = threshold_list(apart, {None: options.rows}, [bound], options.delta)
    found: dict[str, list[float]] = {"certificate": [], "point estimate": [], "plain threshold": []}
    for _ in range(options.splits):
        rows = generator.integers(len(confidence), size=options.rows)
        part = CalibrationPart(confidence[rows], {Reference.GOLD: wrong[rows]})
        outcome = certify(part, [bound], thresholds, options.delta)
        found["certificate"].append(outcome.threshold if isinstance(outcome, Certified) else float("inf"))
        found["point estimate"].append(
            point_estimate(confidence[rows], wrong[rows], bound.limit, bound.among)
        )
        found["plain threshold"].append(1 - bound.limit)
    result = {}
    for way, chosen in found.items():
        at = {threshold: risk(confidence, wrong, threshold, bound.among) for threshold in set(chosen)}
        broken = np.mean([at[threshold][0] > bound.limit for threshold in chosen])
        answered = np.mean([at[threshold][1] for threshold in chosen])
        result[way] = float(broken), float(answered), float(np.mean(np.isinf(chosen)))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--splits", type=int, default=500)
    parser.add_argument("--rows", type=int, default=1000, help="Of the calibration part.")
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--bounds", type=float, nargs="+", default=[0.01, 0.02, 0.05])
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    populations = {"made up": made_up(np.random.default_rng(options.seed))}
    for name in ("banking77", "hwu64"):
        if (DATA / name).is_dir():
            populations[name] = real(name, options.seed)
        else:
            print(f"{name}: n/a ({DATA / name} is absent)")
    noise = (options.delta * (1 - options.delta) / options.splits) ** 0.5
    print(
        f"{options.splits} calibration parts of {options.rows}, delta {options.delta:g} "
        f"(± {1.96 * noise:.3f} by chance), seed {options.seed}"
    )
    print(
        f"{'population':11} {'errors':>7} {'bound':>6}  {'way':16} {'broken':>7} {'answered':>9} {'none':>6}"
    )
    for name, population in populations.items():
        for among in Among:
            for limit in options.bounds:
                for way, (broken, answered, none) in sweep(
                    population, Bound(limit, among=among), options
                ).items():
                    print(
                        f"{name:11} {population[1].mean():7.1%} {limit:6.0%}  {way:16} {broken:7.1%} "
                        f"{answered:9.1%} {none:6.1%}  of {among}"
                    )


if __name__ == "__main__":
    main()
