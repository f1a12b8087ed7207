"""The rollout gate: what has to have been seen before the student may answer more than it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tutelage.config import ServingConfig
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.serving.alarms import ALL, Watched
from tutelage.serving.monitor import Monitor
from tutelage.serving.router import Rollout, Stage
from tutelage.serving.sequences import ConfidenceSequence
from tutelage.serving.shelf import Candidate


@dataclass(frozen=True, slots=True)
class Standing:
    """Where things stand: the candidate, what is deployed, and what the watch has seen of the candidate.

    `shadow` is disagreement on what it would have answered, `audits` on what it did answer; both are empty
    for a candidate that isn't the one watched.
    """

    candidate: Candidate
    now: Rollout
    shadow: ConfidenceSequence
    audits: Watched | None
    ringing: tuple[str, ...]

    @classmethod
    def of(cls, candidate: Candidate, now: Rollout, monitor: Monitor) -> Standing:
        """As the monitor has it now."""
        if candidate.revision != monitor.revision:
            return cls(candidate, now, ConfidenceSequence(), None, ())
        audits = next((watched for watched in monitor.figures() if watched.slice == ALL), None)
        return cls(candidate, now, monitor.shadow, audits, tuple(monitor.ringing))


def rollout_gate(wanted: Stage, standing: Standing, config: ServingConfig) -> Decision:
    """Whether the candidate may go to `wanted`. Never raises: what is missing is evidence that says so.

    In canary and cascade it answers above its certificate's threshold alone; in full everything, for which
    the certificate has to hold at every confidence.
    """
    evidence = list(_evidence(wanted, standing, config))
    return Decision("rollout", tuple(evidence), {"wanted": str(wanted), "student": standing.candidate.name})


def rollout_gate_back(wanted: Stage) -> Decision:
    """The decision that a step back doesn't need."""
    told = "lets the student answer less than it did" if wanted.live else "lets the student answer nothing"
    return Decision("rollout", (Evidence("step back", Verdict.PASS, f"{wanted} {told}"),))


def _evidence(wanted: Stage, standing: Standing, config: ServingConfig) -> Iterator[Evidence]:
    if not wanted.live:
        yield from rollout_gate_back(wanted).evidence
        yield from _permitted(standing.candidate)
        return
    yield _released(standing.candidate)
    yield from _permitted(standing.candidate)
    yield from _certified(wanted, standing.candidate)
    yield _shadowed(standing, config)
    if wanted is not Stage.CANARY:
        yield _canaried(wanted, standing, config)
    if standing.ringing:
        where = ", ".join(name or "all requests" for name in standing.ringing)
        yield Evidence("alarm", Verdict.FAIL, f"the alarm has rung for {where}")


def _released(candidate: Candidate) -> Evidence:
    if candidate.released == Verdict.PASS:
        return Evidence("release", Verdict.PASS, f"the release gate let {candidate.run} pass")
    if not candidate.released:
        return Evidence(
            "release",
            Verdict.FAIL,
            f"{candidate.run} has no release decision as it was exported: evaluate it, and where it was "
            "trained since, export it again",
        )
    return Evidence(
        "release", Verdict.FAIL, f"the release gate's answer for {candidate.run}: {candidate.released}"
    )


def _permitted(candidate: Candidate) -> Iterator[Evidence]:
    if candidate.rights is not None:
        told = candidate.rights.reasons or [f"{candidate.run} learned from answers that may be used"]
        yield Evidence("rights", candidate.rights.verdict, " ".join(told))


def _certified(wanted: Stage, candidate: Candidate) -> Iterator[Evidence]:
    certificate = candidate.certificate
    reason = candidate.refusal()
    if certificate is None or reason is not None:
        yield Evidence("certificate", Verdict.FAIL, reason or "there is none")
    elif wanted is Stage.FULL and certificate.threshold > 0:
        yield Evidence(
            "certificate",
            Verdict.FAIL,
            f"the certificate holds from confidence {certificate.threshold:.4f} on, which "
            f"{certificate.answered_share:.1%} of requests have; full answers all",
            estimate=certificate.answered_share,
            limit=1.0,
        )
    else:
        yield Evidence(
            "certificate", Verdict.PASS, f"bounds hold from confidence {certificate.threshold:.4f} on"
        )


def _shadowed(standing: Standing, config: ServingConfig) -> Evidence:
    seen, needed = standing.shadow, config.promotion.shadow
    return _disagreement(
        "shadow", seen.errors, seen.trials, seen.interval(), config.audit.limit, needed,
        "requests that the student would have answered itself",
    )  # fmt: skip


def _canaried(wanted: Stage, standing: Standing, config: ServingConfig) -> Evidence:
    before = "canary" if wanted is Stage.CASCADE else "cascade"
    seen, needed = standing.audits, config.promotion.audits
    if seen is None:
        return Evidence(
            before, Verdict.UNDECIDED, f"no audit yet; {needed:,} are needed", n=0, more_needed=needed
        )
    interval = (seen.low, seen.high)
    return _disagreement(before, seen.wrong, seen.audits, interval, config.audit.limit, needed, "audits")


def _disagreement(
    term: str, wrong: int, n: int, interval: tuple[float, float], limit: float, needed: int, what: str
) -> Evidence:
    low, high = interval
    told = f"{wrong:,} of {n:,} {what} disagree with the teacher ({low:.2%} to {high:.2%}, limit {limit:.2%})"
    verdict, more = Verdict.PASS, None
    if low > limit:
        verdict = Verdict.FAIL
    elif n < needed:
        verdict, more = Verdict.UNDECIDED, needed - n
        told += f"; {more:,} more are needed"
    elif wrong > limit * n:
        verdict = Verdict.UNDECIDED
        told += ": more than allowed so far"
    return Evidence(term, verdict, told, wrong / n if n else None, low, high, limit, n, more)
