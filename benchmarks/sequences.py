"""False alarms and time to detection of the audit's statistics, looked at after every request.

Streams of audited answers with a rate of disagreement just at the limit: how many ever ring (at most δ may),
and how many confidence sequences ever lose the true rate. Then the rate changes: how many audited answers
until the alarm rings. Beside it what a usual test does that is repeated at every look.

    python benchmarks/sequences.py [--streams 400] [--length 100000] [--limit 0.02] [--after 0.06] [--delta
    0.05]
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace

import numpy as np
from scipy.special import bdtrc

from tutelage.config import AuditConfig
from tutelage.serving import Alarm, ConfidenceSequence
from tutelage.serving.alarms import Ringing
from tutelage.serving.captures import Capture
from tutelage.serving.drift import BLOCK, REFERENCE, Drift
from tutelage.serving.monitor import Monitor

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
    slices(generator.integers(2**32).item(), limit, delta)
    replicas(generator.integers(2**32).item(), limit, delta)
    drift(generator.integers(2**32).item(), delta)


def slices(seed: int, limit: float, delta: float, streams: int = 2_000, audits: int = 1_000) -> None:
    """False alarms of a server's whole watch: over all requests and each of five slices together."""
    generator = random.Random(seed)
    capture = Capture("1", 0.0, "k", "", None, "", "full", "student", revision="r")
    captures = [replace(capture, slice=f"slice {number}") for number in range(5)]
    rang = 0
    for _ in range(streams):
        rung: list[Ringing] = []
        monitor = Monitor(AuditConfig(limit=limit, delta=delta), {}, rung.append)
        monitor.watch("r", None)
        for _ in range(audits):
            monitor.audited(generator.choice(captures), generator.random() >= limit)
            if rung:
                break
        rang += bool(rung)
    print(f"\nwatch over five slices: {rang / streams:.1%} of {streams:,} streams of {audits:,} audits ring")


def replicas(
    seed: int, limit: float, delta: float, servers: int = 3, streams: int = 400, audits: int = 1_000
) -> None:
    """False alarms of several servers on one database: each takes in its own audits at once and those of the
    others at its looks, between which ten audits come here."""
    generator = random.Random(seed)
    first = either = 0
    for _ in range(streams):
        stream = [(generator.randrange(servers), generator.random() < limit) for _ in range(audits)]
        rung = []
        for server in range(servers):
            alarm = Alarm(limit, delta)
            for start in range(0, audits, 10):
                for _, wrong in sorted(stream[start : start + 10], key=lambda one: one[0] != server):
                    alarm.add(wrong)
            rung.append(alarm.rung_at is not None)
        first, either = first + rung[0], either + any(rung)
    print(
        f"\n{servers} servers that share their audits: one rings in {first / streams:.1%} of {streams:,} streams of "
        f"{audits:,} audits, any of them in {either / streams:.1%}"
    )


def drift(seed: int, delta: float, streams: int = 300, blocks: int = 10) -> None:
    """False alerts of drift, and how large a change of a label's share the next block tells."""
    generator = random.Random(seed)
    labels = list("abcdefghij")

    def feed(watch: Drift, n: int, more: float = 0.0) -> bool:
        weights = [
            10 + 90 * more,
            *[10 - 10 * more] * 9,
        ]  # label a has 10% of requests, and `more` of the rest
        for label in generator.choices(labels, weights, k=n):
            watch.add([label], generator.betavariate(8, 2), int(generator.lognormvariate(4, 0.5)))
        return bool(watch.found)

    false = sum(feed(Drift(delta), REFERENCE + blocks * BLOCK) for _ in range(streams))
    print(
        f"\ndrift: {false / streams:.1%} of {streams} streams of {blocks} blocks without any, delta {delta:g}"
    )
    for share in (0.13, 0.16, 0.2, 0.25):
        told = 0
        for _ in range(50):
            watch = Drift(delta)
            if not feed(watch, REFERENCE + blocks * BLOCK):
                told += feed(watch, BLOCK, (share - 0.1) / 0.9)
        print(f"a label's share from 10% to {share:.0%}: the next block tells it in {told / 50:.0%}")


if __name__ == "__main__":
    main()
