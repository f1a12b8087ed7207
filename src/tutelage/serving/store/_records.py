"""What the store keeps besides captures, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RolloutChange:
    """One step of the rollout, forward or back. Each carries the hash of the one before it.

    `share` is the part of the keys that a canary takes, `threshold` the confidence from which the student
    answers, `revision` the student's. `evidence` is JSON. `sequence` (from 1), `previous` and `hash` are
    given when it is recorded.
    """

    at: float
    actor: str
    stage: str
    share: float = 0.0
    threshold: float | None = None
    revision: str = ""
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    sequence: int = 0
    previous: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who may ask. `hash` is argon2id's of the secret, which is kept nowhere.

    `created` and `revoked` are seconds since the epoch; `last_used` is a UTC day (ISO 8601), "" before any.
    """

    id: str
    name: str
    role: str
    hash: str = field(repr=False)
    created: float
    revoked: float | None = None
    last_used: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person has to know. `id` is given when it is recorded."""

    at: float
    kind: str
    text: str
    acknowledged_by: str = ""
    acknowledged_at: float | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of the requests of one slice that one side answered in one stage.

    `agreed` and `disagreed` count requests of which the student's and the teacher's value are known;
    those with the prefix `audit_` only the ones that the student answered and the teacher was asked to check.
    `latency` is the sum in seconds, `cost` in US dollars.
    """

    stage: str
    by: str
    slice: str
    requests: int = 0
    agreed: int = 0
    disagreed: int = 0
    audit_agreed: int = 0
    audit_disagreed: int = 0
    latency: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Tallies since a time, and their sums."""

    since: float
    tallies: tuple[Tally, ...]

    def total(self, *, stage: str | None = None, by: str | None = None, slice: str | None = None) -> Tally:
        """The sum of the tallies that fit; its `stage`, `by` and `slice` are what was asked for, or ""."""
        fitting = [
            tally
            for tally in self.tallies
            if stage in (None, tally.stage) and by in (None, tally.by) and slice in (None, tally.slice)
        ]
        return Tally(
            stage or "",
            by or "",
            slice or "",
            requests=sum(tally.requests for tally in fitting),
            agreed=sum(tally.agreed for tally in fitting),
            disagreed=sum(tally.disagreed for tally in fitting),
            audit_agreed=sum(tally.audit_agreed for tally in fitting),
            audit_disagreed=sum(tally.audit_disagreed for tally in fitting),
            latency=sum(tally.latency for tally in fitting),
            cost=sum(tally.cost for tally in fitting),
        )
