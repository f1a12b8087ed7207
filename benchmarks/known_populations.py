"""Populations whose figures are known, for `intervals_and_gates.py` to draw gold from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import sqrt

import numpy as np

from tutelage.evaluation._coded import Coded
from tutelage.evaluation.weighting import Weights, cluster_weights
from tutelage.tasks import Classify

ARMS = ("teacher", "control", "student")
SHARES = {"4 labels": np.ones(4), "12 labels, 1 to 1/12": 1 / np.arange(1, 13)}
GAPS = {
    "over": lambda sure, limit: np.full(len(sure), limit),
    "under to over": lambda sure, limit: 10 * limit * (sure - 0.7),
    "under, then at once over": lambda sure, limit: np.where(sure < 0.7, -limit, limit),
    # A quarter of a bin of 15 from an edge, whichever way bins lie.
    "at once over, off the middle": lambda sure, limit: np.where(sure < 0.5 + 0.4 * 7.25 / 15, -limit, limit),
}


def cells(teacher: float, loss: float, correlation: float) -> tuple[float, float, float, float]:
    """Probabilities of both right, only the student, only the teacher, neither; as near as they can come."""
    student = teacher - loss
    both = student * teacher + correlation * sqrt(student * (1 - student) * teacher * (1 - teacher))
    both = min(both, student, teacher)
    both = max(both, student + teacher - 1)
    return both, student - both, teacher - both, 1 - student - teacher + both


@dataclass(frozen=True, eq=False)
class Population:
    """Patterns of (gold, teacher, control, student) with their probabilities.

    Of half of the examples all arms find the same hard, of the others each errs by itself; the student's wrong answers are the
    teacher's.
    """

    labels: int
    rows: np.ndarray
    chances: np.ndarray

    @classmethod
    def of(cls, shares: np.ndarray, teacher: float, control: float, student: float) -> Population:
        """Labels in these shares, and arms of these accuracies."""
        rates, rows, chances = (teacher, control, student), [], []
        k = len(shares)
        for gold in range(k):
            for right in itertools.product((True, False), repeat=3):
                alone = np.prod([rate if flag else 1 - rate for rate, flag in zip(rates, right, strict=True)])
                hardest_right = min(
                    (rate for rate, flag in zip(rates, right, strict=True) if flag), default=1.0
                )
                easiest_wrong = max(
                    (rate for rate, flag in zip(rates, right, strict=True) if not flag), default=0.0
                )
                together = max(0.0, hardest_right - easiest_wrong)
                for step, chance in ((1, 0.7), (2, 0.3)):
                    said = [
                        gold if flag else (gold + far) % k
                        for flag, far in zip(right, (step, 2, step), strict=True)
                    ]
                    rows.append([gold, *said])
                    chances.append(shares[gold] / shares.sum() * chance * (alone + together) / 2)
        return cls(k, np.array(rows), np.array(chances) / sum(chances))

    def drawn(self, n: int, generator: np.random.Generator) -> Coded:
        """So many examples."""
        rows = np.repeat(self.rows, generator.multinomial(n, self.chances), axis=0)
        task = Classify(tuple(f"label {k:02d}" for k in range(self.labels)))
        members = np.vstack([np.eye(self.labels, dtype=bool), np.zeros((1, self.labels), dtype=bool)])
        return Coded(task, task.labels, members, rows[:, 0], dict(zip(ARMS, rows[:, 1:].T, strict=True)), {})

    def truths(self) -> dict[str, float]:
        """What the intervals should hold."""
        gold, right, scores = self.rows[:, 0], {}, {}
        for name, said in zip(ARMS, self.rows[:, 1:].T, strict=True):
            right[name] = float(self.chances @ (said == gold))
            counts = [
                np.bincount(of, self.chances * where, self.labels)
                for of, where in ((gold, 1.0), (said, 1.0), (gold, said == gold))
            ]
            hits = counts[2] / (counts[0] + counts[1])
            scores[name] = float(2 * hits.mean())
        return {
            "macro-F1": scores["student"],
            "difference in macro-F1": scores["student"] - scores["teacher"],
            "retention": right["student"] / right["teacher"],
            "gap recovered": (right["student"] - right["control"]) / (right["teacher"] - right["control"]),
        }


@dataclass(frozen=True, eq=False)
class Clusters:
    """Shares of traffic and of gold, and by cluster the teacher's accuracy and the student's loss."""

    traffic: np.ndarray
    gold: np.ndarray
    teacher: np.ndarray
    loss: np.ndarray

    @classmethod
    def of(cls, clusters: int, tilt: float) -> Clusters:
        """So many clusters, the last of which gold has exp(tilt) times as much of as of the first."""
        place = np.linspace(0, 1, clusters)
        traffic, gold = np.ones(clusters), np.exp(tilt * (place - 0.5))
        return cls(traffic / clusters, gold / gold.sum(), 0.85 + 0.1 * place, 0.08 * (1 - place))

    @property
    def accuracy(self) -> float:
        """The student's on the traffic."""
        return float(self.traffic @ (self.teacher - self.loss))

    @property
    def difference(self) -> float:
        """The student's accuracy less the teacher's, on the traffic."""
        return float(-self.traffic @ self.loss)

    def drawn(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Of so many examples the cluster, and who is right."""
        where, level = generator.choice(len(self.gold), n, p=self.gold), generator.random(n)
        other = np.where(generator.random(n) < 0.5, level, generator.random(n))
        return where, {
            "teacher": other < self.teacher[where],
            "student": level < (self.teacher - self.loss)[where],
        }

    def weights(self, where: np.ndarray) -> Weights:
        """Weights by cluster."""
        centres = np.arange(len(self.traffic), dtype=np.float64)[:, None]
        return cluster_weights(self.traffic * 1e5, where, centres, np.zeros(len(self.traffic), dtype=bool))
