"""Gold and arms that evaluation's tests share."""

import numpy as np

from tutelage.evaluation import Arm
from tutelage.records import Gold, Prompt
from tutelage.tasks import Classify

TASK = Classify(("a", "b", "c", "d"))


def gold_of(values, slices=None):
    slices = slices or ["normal"] * len(values)
    return [
        Gold(Prompt(f"p{row}", f"text {row}", slice=slice_), value)
        for row, (value, slice_) in enumerate(zip(values, slices, strict=True))
    ]


def arm_of(name, values, distributions=None):
    return Arm(name, f"the {name}", values, distributions)


def random_world(n=400, seed=0, accuracy=(0.9, 0.8, 0.86), critical=0.2):
    """Gold with critical examples, and three arms with probabilities; some answers are missing."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(4, size=n, p=[0.4, 0.3, 0.2, 0.1])
    slices = np.where(generator.random(n) < critical, "critical", "normal").tolist()
    gold = gold_of([TASK.labels[code] for code in truth], slices)
    arms = {}
    for name, right in zip(("teacher", "control", "student"), accuracy, strict=True):
        answers = np.where(generator.random(n) < right, truth, generator.integers(4, size=n))
        probabilities = np.full((n, 4), 0.1, dtype=np.float32) * generator.random((n, 1), dtype=np.float32)
        probabilities[np.arange(n), answers] = 1 - 3 * probabilities[:, 0]
        values = TASK.decide(probabilities)
        values[generator.integers(n)] = None
        arms[name] = arm_of(name, values, probabilities)
    return gold, arms
