"""Whether intervals cover and gate terms err as often as they say, by simulation.

python benchmarks/intervals_and_gates.py [--draws 2000] [--seed 0] [--parts losses slices]

Each row is one truth, drawn `draws` times. Of an interval: how often its lower end lies above the truth and
its upper end below, where 2.5% are meant for each. Of a gate term: how often a student that loses exactly
what is allowed passes, and how often it fails, where 2.5% are meant at most. ± is the Monte-Carlo error
(1.96 standard errors) at 2.5%. Exact procedures err less often than that on few examples; a row is marked
where it errs oftener than noise allows (one-sided at 0.1%, since there are many rows).

Paired outcomes have an accuracy of the teacher, a loss, and a correlation of right and wrong between the two.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from math import sqrt

import numpy as np
from scipy.stats import binom

from tutelage.evaluation.calibration import calibrate
from tutelage.evaluation.intervals import proportion_interval, ratio_interval
from tutelage.evaluation.overconfidence import mean_interval
from tutelage.evaluation.paired import paired_difference_interval, superiority_p
from tutelage.evaluation.release.quantities import PairedDifference, Share
from tutelage.evaluation.release.verdicts import Question, answer
from tutelage.gates import Verdict
from tutelage.tasks import Classify

SIZES = (30, 100, 300, 1000)
LEVEL = 0.025
RESAMPLES = 400  # of a calibration error's bootstrap

cached_proportion, cached_difference = cache(proportion_interval), cache(paired_difference_interval)
cached_p, cached_ratio = cache(superiority_p), cache(ratio_interval)


def cells(teacher: float, loss: float, correlation: float) -> tuple[float, float, float, float]:
    """Probabilities of both right, only the student, only the teacher, neither; as near as they can come."""
    student = teacher - loss
    both = student * teacher + correlation * sqrt(student * (1 - student) * teacher * (1 - teacher))
    both = min(both, student, teacher)
    both = max(both, student + teacher - 1)
    return both, student - both, teacher - both, 1 - student - teacher + both


def row(name: str, below: float, above: float, draws: int) -> None:
    """One line; `below` and `above` are shares of draws that erred."""
    most = binom.ppf(0.999, draws, LEVEL) / draws
    mark = "  <- more than meant" if max(below, above) > most else ""
    print(f"{name:<66} {below:7.2%} {above:7.2%}{mark}", flush=True)


def proportions(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    for n in SIZES:
        for truth in (0.5, 0.8, 0.95, 0.99):
            found = np.array([cached_proportion(int(k), n) for k in generator.binomial(n, truth, draws)])
            yield (
                f"proportion, n {n}, truth {truth}",
                (found[:, 0] > truth).mean(),
                (found[:, 1] < truth).mean(),
            )


def differences(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    for n in SIZES:
        for teacher, loss, correlation in (
            (0.9, 0.0, 0.3),
            (0.9, 0.03, 0.8),
            (0.97, 0.02, 0.5),
            (0.7, 0.1, 0.0),
        ):
            drawn = generator.multinomial(n, cells(teacher, loss, correlation), size=draws)
            found = np.array([cached_difference(int(a), int(b), n) for _, a, b, _ in drawn])
            name = f"paired difference, n {n}, teacher {teacher}, loss {loss}, correlation {correlation}"
            yield name, (found[:, 0] > -loss).mean(), (found[:, 1] < -loss).mean()


def lifts(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    for n in SIZES[1:]:
        for teacher_errs, rate, ratio in ((0.1, 0.05, 1.0), (0.1, 0.05, 8.0), (0.05, 0.02, 20.0)):
            wrong = generator.binomial(n, teacher_errs, draws)
            kept = wrong[(wrong > 0) & (wrong < n)]
            pairs = [
                (generator.binomial(w, rate * ratio), w, generator.binomial(n - w, rate), n - w) for w in kept
            ]
            ends = [cached_ratio(*map(int, pair)) for pair in pairs]
            low = np.mean([low > ratio for low, _ in ends])
            high = np.mean([high is not None and high < ratio for _, high in ends])
            yield f"lift, n {n}, teacher errs {teacher_errs}, base rate {rate}, truth {ratio:g}", low, high


def means(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    for n in (10, 30, 100, 300):
        for a, b in ((4.0, 3.0), (9.0, 1.0)):
            drawn = generator.beta(a, b, size=(draws, n))
            found = [mean_interval(values, 0.0, 1.0) for values in drawn]
            truth = a / (a + b)
            low = np.mean([item["low"] > truth for item in found])
            high = np.mean([item["high"] < truth for item in found])
            yield f"mean confidence, n {n}, beta({a:g}, {b:g})", low, high


def calibrations(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """The truth is the distance of the bins' mean confidence from their accuracy: constant overconfidence."""
    task = Classify(("a", "b"))
    for n in (100, 300, 1000):
        for gap in (0.0, 0.05, 0.15):
            low = high = 0
            for _ in range(draws):
                sure = generator.uniform(0.7, 0.99, size=n)
                right = generator.random(n) < sure - gap
                probabilities = np.column_stack([sure, 1 - sure]).astype(np.float32)
                gold = ["a" if flag else "b" for flag in right]
                found = calibrate(task, gold, ["a"] * n, probabilities, seed=0, resamples=RESAMPLES)
                low, high = low + (found.ece_low > gap + 1e-9), high + (found.ece_high < gap - 1e-9)
            yield f"calibration error, n {n}, truth {gap}", low / draws, high / draws


def losses(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    for n in SIZES:
        for teacher, loss, correlation in (
            (0.9, 0.03, 0.3),
            (0.9, 0.05, 0.8),
            (0.97, 0.02, 0.9),
            (0.8, 0.1, 0.5),
        ):
            drawn = generator.multinomial(n, cells(teacher, loss, correlation), size=draws)
            passed = np.mean([cached_p(int(a), int(b), n, -loss) <= LEVEL for _, a, b, _ in drawn])
            failed = np.mean([cached_p(int(b), int(a), n, loss) <= LEVEL for _, a, b, _ in drawn])
            yield (
                f"loss against the teacher, n {n}, teacher {teacher}, limit {loss}, correlation {correlation}",
                passed,
                failed,
            )


def bars(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    for n in SIZES:
        for bar in (0.8, 0.95):
            drawn = generator.binomial(n, bar, draws)
            verdicts = [single(Share(int(k), n), bar) for k in drawn]
            yield (
                f"accuracy against a bar, n {n}, bar {bar}",
                share(verdicts, Verdict.PASS),
                share(verdicts, Verdict.FAIL),
            )


@cache
def single(quantity: Share, limit: float) -> Verdict:
    return answer([Question(quantity, limit)])[0].verdict


def share(verdicts: list[Verdict], verdict: Verdict) -> float:
    return float(np.mean([found is verdict for found in verdicts]))


def slices(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Of slices on their limit, beside others that are far better: that any of the first passes, or fails."""
    for n, on_limit, better in ((60, 3, 0), (150, 3, 0), (150, 2, 2), (150, 10, 10)):
        limit, erred = 0.05, np.zeros(2)
        for _ in range(draws):
            questions = []
            for place in range(on_limit + better):
                loss = limit if place < on_limit else 0.0
                _, a, b, _ = generator.multinomial(n, cells(0.9, loss, 0.7))
                questions.append(Question(Cached(int(a), int(b), n), -limit))
            found = [item.verdict for item in answer(questions)[:on_limit]]
            erred += (Verdict.PASS in found, Verdict.FAIL in found)
        yield f"{on_limit + better} slices of {n}, {on_limit} on their limit: any of these", *(erred / draws)


class Cached(PairedDifference):
    """What is asked of many slices is asked once."""

    def above_p(self, limit: float) -> float:
        """See `Quantity`."""
        return cached_p(self.only_a, self.only_b, self.n, limit)

    def below_p(self, limit: float) -> float:
        """See `Quantity`."""
        return cached_p(self.only_b, self.only_a, self.n, -limit)

    def lower(self, level: float) -> float:
        """See `Quantity`."""
        return -1.0  # not looked at

    def upper(self, level: float) -> float:
        """See `Quantity`."""
        return 1.0

    def scaled(self, examples: int) -> Share:
        """See `Quantity`."""
        return Share(0, examples)  # how many more would decide isn't looked at


def table(title: str, heads: tuple[str, str], rows: Iterator[tuple[str, float, float]], draws: int) -> None:
    print(f"\n{title:<66} {heads[0]:>7} {heads[1]:>7}")
    for name, below, above in rows:
        row(name, below, above, draws)


PARTS = {
    "proportions": (proportions, "interval of a proportion", ("low", "high")),
    "differences": (differences, "interval of a paired difference", ("low", "high")),
    "lifts": (lifts, "interval of a lift", ("low", "high")),
    "means": (means, "interval of a mean confidence", ("low", "high")),
    "losses": (losses, "gate: student that loses just what is allowed", ("passes", "fails")),
    "bars": (bars, "gate: student whose accuracy is just the bar", ("passes", "fails")),
    "slices": (slices, "gate: slices judged together", ("passes", "fails")),
    "calibrations": (calibrations, "interval of a calibration error", ("low", "high")),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    options = parser.parse_args()
    noise = 1.96 * sqrt(LEVEL * (1 - LEVEL) / options.draws)
    print(f"{options.draws:,} draws a row, seed {options.seed}; at 2.5% ± {noise:.2%}")
    for name in options.parts:
        rows, title, heads = PARTS[name]
        generator = np.random.default_rng(options.seed)
        table(title, heads, rows(options.draws, generator), options.draws)


if __name__ == "__main__":
    main()
