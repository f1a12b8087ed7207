"""How long the evaluation of many predictions takes, and how much memory, with every test and every slice.

python benchmarks/evaluation.py [--examples 100000] [--labels 77] [--slices 20] [--seed 0]

Made-up answers of teacher, control and student with probabilities, of which the student has a part of its
errors from the teacher. What is timed is `evaluate` and `release_decision` with every slice judged; what
stands before is the making of the answers. Memory is the process's largest resident set so far.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from tutelage.config import ReleaseConfig
from tutelage.evaluation import Arm, evaluate, release_decision
from tutelage.records import Gold, Prompt
from tutelage.tasks import Classify

RIGHT = {"teacher": 0.93, "control": 0.88, "student": 0.92}


def arm_of(name, task, truth, repeated, generator):
    """An arm that is right as often as RIGHT says and repeats the answers of `repeated` on a half of its errors."""
    n, labels = len(truth), len(task.labels)
    answers = np.where(generator.random(n) < RIGHT[name], truth, generator.integers(labels, size=n))
    if repeated is not None:
        answers = np.where(generator.random(n) < 0.5, repeated, answers)
    rest = generator.random((n, labels), dtype=np.float32) ** 4
    rest[np.arange(n), answers] = 0.0
    sure = generator.beta(8, 1, size=n).astype(np.float32).clip(0.55, 0.999)
    probabilities = rest * ((1 - sure) / rest.sum(axis=1))[:, None]
    probabilities[np.arange(n), answers] = sure
    return answers, Arm(name, name, task.decide(probabilities), probabilities, temperature=1.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=77)
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    task = Classify(tuple(f"label {number:03d}" for number in range(options.labels)))
    truth = generator.integers(options.labels, size=options.examples)
    slices = generator.integers(options.slices, size=options.examples)
    gold = [
        Gold(Prompt(str(row), f"text of example {row}", slice=f"slice {slice_:02d}"), task.labels[code])
        for row, (code, slice_) in enumerate(zip(truth.tolist(), slices.tolist(), strict=True))
    ]
    said, teacher = arm_of("teacher", task, truth, None, generator)
    _, control = arm_of("control", task, truth, None, generator)
    _, student = arm_of("student", task, truth, said, generator)
    arms = {"teacher": teacher, "control": control, "student": student}
    started, processor = time.perf_counter(), time.process_time()
    metrics = evaluate(task, gold, arms)
    evaluated = time.perf_counter()
    release = ReleaseConfig(
        min_accuracy=0.9,
        critical_slices=("slice 00", "slice 01"),
        min_critical_accuracy=0.9,
        max_slice_loss=0.03,
        min_slice_accuracy=0.9,
        max_inherited=0.05,
        max_confident_errors=0.05,
    )
    decision = release_decision(metrics, release)
    ended = time.perf_counter()
    print(f"{options.examples:,} examples, {options.labels} labels, {options.slices} slices, 3 arms")
    print(f"evaluate         {evaluated - started:6.1f} s")
    print(f"release_decision {ended - evaluated:6.1f} s, {len(decision.evidence)} terms, {decision.verdict}")
    print(f"together         {ended - started:6.1f} s, {time.process_time() - processor:.1f} s of processor")
    print(f"largest memory   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MiB")


if __name__ == "__main__":
    main()
