"""False alarms and time to detection of the audit's statistics, looked at after every request.

Streams of audited answers with a rate of disagreement just at the limit: how many ever ring (at most δ may),
and how many confidence sequences ever lose the true rate. Then the rate changes: how many audited answers
until the alarm rings. Beside it what a usual test does that is repeated at every look.

    python benchmarks/sequences.py [--streams 400] [--length 100000] [--limit 0.02] [--after 0.06] [--delta
    0.05]
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import bdtrc

from tutelage.serving import Alarm, ConfidenceSequence

LOOKS = 100  # of the confidence sequence, evenly spaced in the logarithm: its ends take a bisection each


def rings_at(wrong: np.ndarray, limit: float, delta: float) -> int | None:
    """After how many trials, if ever."""
    alarm = Alarm(limit, delta)
    for flag in wrong.tolist():
        if alarm.add(flag):
            return alarm.rung_at
    return None


def loses_rate(wrong: np.ndarray, rate: float, delta: float) -> bool:
    """Whether the interval ever leaves the rate out."""
    errors = np.cumsum(wrong)
    for trials in np.unique(np.geomspace(1, len(wrong), LOOKS).astype(int)).tolist():
        low, high = ConfidenceSequence(int(errors[trials - 1]), trials, 1 - delta).interval()
        if not low <= rate <= high:
            return True
    return False


def repeated_test(wrong: np.ndarray, limit: float, delta: float) -> bool:
    """Whether an exact binomial test, repeated after every trial from the hundredth on, ever rejects."""
    errors, trials = np.cumsum(wrong), np.arange(1, len(wrong) + 1)
    p_values = np.where(errors > 0, bdtrc(errors - 1, trials, limit), 1.0)
    return bool((p_values[100:] <= delta).any())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--length", type=int, default=100_000)
    parser.add_argument("--limit", type=float, default=0.02)
    parser.add_argument("--after", type=float, default=0.06)
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    limit, delta, after = options.limit, options.delta, options.after
    false = lost = repeated = 0
    for _ in range(options.streams):
        wrong = generator.random(options.length) < limit
        false += rings_at(wrong, limit, delta) is not None
        lost += loses_rate(wrong, limit, delta)
        repeated += repeated_test(wrong, limit, delta)
    print(
        f"{options.streams} streams of {options.length:,} at a rate of {limit:g}, "
        f"delta {delta:g}, seed {options.seed}"
    )
    for name, count in (("alarm", false), ("confidence sequence", lost), ("repeated exact test", repeated)):
        print(f"{name:20} wrong in {count / options.streams:6.1%} of streams")
    print(f"\naudited answers from a change to {after:g} until the alarm rings (median, 5% to 95%)")
    for before in (0, 1000, 10_000, 50_000):
        for usual in (limit / 2, limit):
            waits = []
            for _ in range(min(options.streams, 100)):
                good = generator.random(before) < usual
                bad = generator.random(20_000) < after
                at = rings_at(np.concatenate([good, bad]), limit, delta)
                if at is None or at > before:
                    waits.append(float("inf") if at is None else at - before)
            low, middle, high = np.quantile(waits, [0.05, 0.5, 0.95])
            print(f"after {before:7,} at {usual:.3f}: {middle:7,.0f} ({low:,.0f} to {high:,.0f})")


if __name__ == "__main__":
    main()
