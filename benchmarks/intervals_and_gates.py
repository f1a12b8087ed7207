"""Whether intervals cover and gate terms err as often as they say, by simulation.

python benchmarks/intervals_and_gates.py [--draws 2000] [--seed 0] [--only losses slices]

Each row is one truth, drawn `draws` times. Of an interval: how often its lower end lies above the truth and
its upper end below, where 2.5% are meant for each. Of a gate term: how often a student that loses exactly
what is allowed passes, and how often it fails, where 2.5% are meant at most. ± is the Monte-Carlo error
(1.96 standard errors) at 2.5%. Exact procedures err less often than that on few examples; a row is marked
where it errs oftener than noise allows (one-sided at 0.1%, since there are many rows).

Paired outcomes have an accuracy of the teacher, a loss, and a correlation of right and wrong between the two.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from functools import cache
from math import sqrt

import numpy as np
from scipy.stats import binom

from known_populations import GAPS, SHARES, Clusters, Population, cells
from tutelage.config import ReleaseConfig
from tutelage.evaluation import metrics
from tutelage.evaluation._resampling import macro_f1, macro_f1_difference, resampled_macro_f1
from tutelage.evaluation.calibration import calibrate
from tutelage.evaluation.intervals import proportion_interval, ratio_interval
from tutelage.evaluation.measures import Measure, measures_of
from tutelage.evaluation.overconfidence import mean_interval
from tutelage.evaluation.paired import paired_difference_interval, superiority_p
from tutelage.evaluation.release.calibration import confident_errors, expected_error
from tutelage.evaluation.release.coverage import weighted_loss
from tutelage.evaluation.release.inheritance import inherited, inherited_confusions
from tutelage.evaluation.release.quantities import PairedDifference, Share
from tutelage.evaluation.release.verdicts import Question, answer
from tutelage.evaluation.votes import agreement
from tutelage.evaluation.weighting import (
    density_weights,
    weighted_accuracy,
    weighted_difference,
    weighted_figures,
)
from tutelage.gates import Verdict
from tutelage.tasks import Classify, Judge

SIZES = (30, 100, 300, 1000)
LEVEL = 0.025
RESAMPLES = 400  # of a calibration error's bootstrap
OF_MACRO_F1 = 200  # whose variance alone is asked for

cached_proportion, cached_difference = cache(proportion_interval), cache(paired_difference_interval)
cached_p, cached_ratio = cache(superiority_p), cache(ratio_interval)


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


def arms(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """A gap is told only where teacher and control surely differ; its errors are of those draws."""
    for (named, shares), rates, n in itertools.product(
        SHARES.items(), ((0.9, 0.8, 0.88), (0.97, 0.9, 0.95)), (50, 100, 300, 1000)
    ):
        population = Population.of(shares, *rates)
        truths = population.truths()
        erred = {name: np.zeros(3) for name in truths}
        for _ in range(draws):
            coded = population.drawn(n, generator)
            drawn = resampled_macro_f1(coded, seed=0, resamples=OF_MACRO_F1)
            found = {
                "macro-F1": macro_f1(coded, "student", drawn).to_json(),
                "difference in macro-F1": macro_f1_difference(coded, "student", "teacher", drawn).to_json(),
                "retention": metrics._retention(coded),
                "gap recovered": metrics._gap_recovered(coded),
            }
            for name, interval in found.items():
                if interval is not None:
                    erred[name] += (interval["low"] > truths[name], interval["high"] < truths[name], 1)
        for name, (low, high, told) in erred.items():
            yield f"{name}, {named}, n {n}, student {rates[2]}", low / told, high / told


def agreements(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Two or three reviewers who say the same of a share kappa of the pairs, and what they like of the others."""
    for (reviewers, shares), pairs, kappa in itertools.product(
        ((2, (0.5, 0.5)), (2, (8, 4, 2, 1)), (3, (1, 1, 1))), (20, 40, 100), (0.36, 0.7, 0.9)
    ):
        likes, low, high, told = np.array(shares) / sum(shares), 0, 0, 0
        for _ in range(draws):
            said = generator.choice(len(likes), (pairs, reviewers), p=likes)
            same = generator.random(pairs) < kappa
            said[same] = said[same, :1]
            found = agreement([{f"{who}": f"{what}" for who, what in enumerate(row)} for row in said])
            interval = found["kappa" if reviewers == 2 else "alpha"]
            if interval["estimate"] is not None:
                told, low, high = told + 1, low + (interval["low"] > kappa), high + (interval["high"] < kappa)
        yield (
            f"{'kappa' if reviewers == 2 else 'alpha'} {kappa}, {reviewers} reviewers, {len(likes)} answers, {pairs} pairs",
            low / told,
            high / told,
        )


def kappas(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Scores of 1 to 5 in unequal shares; a share is right, of the others four fifths are next to it."""
    task, likes = Judge(tuple("12345"), "How good?", scored=True), (0.05, 0.1, 0.2, 0.3, 0.35)

    def scored(n: int, right: float) -> list[Measure]:
        gold = generator.choice(5, n, p=likes)
        near = np.clip(gold + generator.choice([-1, 1], n), 0, 4)
        wrong = np.where(generator.random(n) < 0.8, near, generator.choice(5, n, p=likes))
        said = np.where(generator.random(n) < right, gold, wrong)
        found = measures_of(task, [str(1 + one) for one in said], [str(1 + one) for one in gold])
        return [measure for measure in found if measure.estimated is not None]

    for right in (0.5, 0.8, 0.95):
        truths = [float(one.of(one.parts.sum(axis=0))) for one in scored(400_000, right)]
        for n in (20, 40, 100, 300):
            erred: dict[str, np.ndarray] = {}
            for _ in range(draws):
                for one, truth in zip(scored(n, right), truths, strict=True):
                    found = one.estimated(np.ones(n), one.parts)
                    ends = np.array([found.low > truth, found.high < truth])
                    erred[one.name] = erred.get(one.name, np.zeros(2)) + ends
            for (name, (low, high)), truth in zip(erred.items(), truths, strict=True):
                yield f"{name} {truth:.2f}, n {n}", low / draws, high / draws


def scores(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Reviewers on a scale of five who say the same of a share of the texts, and of the others what they like."""
    scale = list("12345")
    for (reviewers, likes), texts, alike in itertools.product(
        ((2, (1, 1, 1, 1, 1)), (2, (1, 2, 4, 8, 4)), (3, (1, 2, 4, 8, 4))), (20, 40, 100), (0.36, 0.7, 0.9)
    ):
        erred = {"alpha": [0, 0, 0], "kappa": [0, 0, 0]}
        for _ in range(draws):
            said = generator.choice(scale, (texts, reviewers), p=np.array(likes) / sum(likes))
            same = generator.random(texts) < alike
            said[same] = said[same, :1]
            found = agreement(
                [{f"{who}": f"{what}" for who, what in enumerate(row)} for row in said], scale=scale
            )
            for name, counts in erred.items():
                interval = found[name]
                if interval is not None and interval["estimate"] is not None:
                    counts[0] += interval["low"] > alike
                    counts[1] += interval["high"] < alike
                    counts[2] += 1
        for name, (low, high, told) in erred.items():
            if told:
                yield (
                    f"{name} {alike}, {reviewers} reviewers, {'even' if likes[0] == likes[1] else 'uneven'}, {texts} texts",
                    low / told,
                    high / told,
                )


def weighted(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Clusters whose shares in gold aren't the traffic's; accuracy and loss differ from one to the next."""
    for n, clusters, tilt in itertools.product((100, 300, 1000), (8, 30), (0.5, 1.5)):
        world = Clusters.of(clusters, tilt)
        erred = np.zeros((2, 2))
        for _ in range(draws):
            where, right = world.drawn(n, generator)
            weights = world.weights(where)
            accuracy = weighted_accuracy(right["student"], weights)
            loss = weighted_difference(right["student"], right["teacher"], weights)
            erred += [
                (found["low"] > truth, found["high"] < truth)
                for found, truth in ((accuracy, world.accuracy), (loss, world.difference))
            ]
        for name, (low, high) in zip(("accuracy", "difference"), erred / draws, strict=True):
            yield f"weighted {name}, n {n}, {clusters} clusters, tilt {tilt}", low, high


def density(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Points about 40 kinds; the traffic is gold tilted log-linearly, and who is right goes with the tilt."""
    for width, tilt, n in itertools.product((8, 64), (0.5, 1.0), (300, 1000)):
        size, world = 100_000, np.random.default_rng(0)
        kinds = world.normal(size=(40, width)) / sqrt(width)
        which = world.choice(40, size, p=world.dirichlet(np.full(40, 3.0)))
        points = kinds[which] + 0.75 * world.normal(size=(size, width)) / sqrt(width)
        points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
        along, other = (points @ world.normal(size=width) for _ in range(2))
        along, other = ((one - one.mean()) / one.std() for one in (along, other))
        shares = np.exp(tilt * along) / np.exp(tilt * along).sum()
        chance = 1 / (1 + np.exp(-(1.7 - tilt * along + 0.5 * other)))
        truth, erred = float(shares @ chance), np.zeros(2)
        for _ in range(draws):
            gold, traffic = generator.integers(size, size=n), generator.choice(size, 2000, p=shares)
            weights = density_weights(points[gold], points[traffic])
            found = weighted_accuracy(generator.random(n) < chance[gold], weights)
            erred += (found["low"] > truth, found["high"] < truth)
        yield f"by density, n {n}, {width} dimensions, {chance.mean():.2f} to {truth:.2f}", *(erred / draws)


def weighted_gate(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    for n, tilt in itertools.product((300, 1000, 3000), (0.5, 1.5)):
        world = Clusters.of(30, tilt)
        release, verdicts = ReleaseConfig(max_weighted_loss=-world.difference), []
        for _ in range(draws):
            where, right = world.drawn(n, generator)
            found = {"coverage": {"weighted": {"cluster": weighted_figures(right, world.weights(where))}}}
            verdicts += [item.verdict for item in weighted_loss(found, release)]
        yield (
            f"weighted loss, n {n}, 30 clusters, tilt {tilt}, limit {-world.difference:.3f}",
            share(verdicts, Verdict.PASS),
            share(verdicts, Verdict.FAIL),
        )


def shares(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Terms that are a share of gold, each exactly on its limit."""
    for n, limit in itertools.product(SIZES, (0.02, 0.1)):
        counts = generator.binomial(n, limit, draws).tolist()
        for name, term in (("inherited errors", inherited_verdict), ("confident errors", confident_verdict)):
            found = [term(count, n, limit) for count in counts]
            yield f"{name}, n {n}, limit {limit}", share(found, Verdict.PASS), share(found, Verdict.FAIL)


@cache
def inherited_verdict(count: int, n: int, limit: float) -> Verdict:
    found = {"n": n, "errors": {"both_wrong_same": count}}
    return next(iter(inherited(found, ReleaseConfig(max_inherited=limit)))).verdict


@cache
def confident_verdict(count: int, n: int, limit: float) -> Verdict:
    stated = {"confident_errors": {"estimate": count / n, "n": n}}
    found = {"n": n, "errors": {"confidence": {"student": stated}}}
    return next(iter(confident_errors(found, ReleaseConfig(max_confident_errors=limit)))).verdict


def confusions(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Wrong answers of which just the limit is inherited; of many others nothing is. It passes nothing."""
    limit = 0.3
    for support, on_limit, others in ((10, 1, 50), (30, 5, 50), (100, 20, 300)):
        failed = 0
        for _ in range(draws):
            found = [
                {
                    "gold": f"{k}",
                    "predicted": "x",
                    "shared": int(count),
                    "support": support,
                    "expected": 0.0,
                    "beyond_chance": True,
                }
                for k, count in enumerate(generator.binomial(support, limit, on_limit))
            ]
            errors = {"confusions": found, "confusions_tested": on_limit + others}
            failed += any(
                inherited_confusions(
                    {"errors": errors, "n": 1000}, ReleaseConfig(max_inherited_confusion=limit)
                )
            )
        yield (
            f"any of {on_limit} inherited confusions of {support}, among {on_limit + others}",
            0.0,
            failed / draws,
        )


def calibration_gate(draws: int, generator: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """The truth is the mean distance of confidence from accuracy at every confidence, not by bins."""
    task = Classify(("a", "b"))
    for n, (named, gap_at), limit in itertools.product((100, 300, 1000), GAPS.items(), (0.05, 0.1)):
        verdicts, release = [], ReleaseConfig(max_ece=limit)
        for _ in range(draws):
            sure = generator.uniform(0.5, 0.9, size=n)
            gold = np.where(generator.random(n) < sure - gap_at(sure, limit), "a", "b").tolist()
            probabilities = np.column_stack([sure, 1 - sure]).astype(np.float32)
            found = calibrate(task, gold, ["a"] * n, probabilities, seed=0, resamples=RESAMPLES)
            student = {"ece": found.ece, "ece_low": found.ece_low, "ece_high": found.ece_high}
            term = expected_error({"arms": {"student": student}, "n": n}, release)
            verdicts += [item.verdict for item in term]
        yield (
            f"calibration error, n {n}, {named}, limit {limit}",
            share(verdicts, Verdict.PASS),
            share(verdicts, Verdict.FAIL),
        )


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
    "shares": (shares, "gate: share of gold that is just the limit", ("passes", "fails")),
    "confusions": (confusions, "gate: confusions inherited just as often as is allowed", ("passes", "fails")),
    "weighted": (weighted, "interval of what is weighted to the traffic", ("low", "high")),
    "density": (density, "interval of accuracy weighted by density", ("low", "high")),
    "weighted_gate": (weighted_gate, "gate: weighted loss that is just what is allowed", ("passes", "fails")),
    "agreements": (agreements, "interval of reviewers' agreement", ("low", "high")),
    "kappas": (kappas, "interval of a judge's kappas", ("low", "high")),
    "scores": (scores, "interval of reviewers' agreement on a scale", ("low", "high")),
    "arms": (arms, "interval of macro-F1, retention, recovered gap", ("low", "high")),
    "calibrations": (calibrations, "interval of a calibration error", ("low", "high")),
    "calibration_gate": (
        calibration_gate,
        "gate: calibration error that is just the limit",
        ("passes", "fails"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS])
    options = parser.parse_args()
    noise = 1.96 * sqrt(LEVEL * (1 - LEVEL) / options.draws)
    print(f"{options.draws:,} draws a row, seed {options.seed}; at 2.5% ± {noise:.2%}")
    for name in options.only:
        rows, title, heads = PARTS[name]
        generator = np.random.default_rng(options.seed)
        table(title, heads, rows(options.draws, generator), options.draws)


if __name__ == "__main__":
    main()
