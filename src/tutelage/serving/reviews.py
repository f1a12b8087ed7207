"""People as a tier: which requests are put before them, by when, and what their verdicts come to.

An item is drawn **at random**, so that verdicts on such items estimate what they would be on all requests and
may become gold, or **chosen** because student and teacher disagree, the student was unsure, or nobody could
answer; verdicts on these correct the next transfer set and must never be taken for a sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tutelage.config import PeopleConfig
from tutelage.review.votes import majority
from tutelage.serving.captures import Capture

ESCALATED = ("below threshold", "out of scope", "teacher unavailable")  # reasons that captures name
RANDOM_DIGITS = 20  # of an id; those that come after are random, and decide what is drawn
_DRAWN = 32 - RANDOM_DIGITS
_MINUTE, _HOUR = 60.0, 3_600.0


class Why(StrEnum):
    """Why a request is put before people, the most pressing first."""

    NOBODY = "nobody answered"
    RANDOM = "drawn at random"
    DISAGREEMENT = "student and teacher disagree"
    ESCALATION = "the student may not answer"


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """How people's time is used.

    `random` is the share of all requests drawn at random. `second` is the share of items put before two
    people, whose agreement is thereby measured; where they disagree a third decides. Chosen items are queued
    while fewer than `most_open` wait, the most valuable first. Times are in seconds: `due` and `urgent` from
    the request to the verdict (`urgent` where nobody answered), `lease` for which an item is one person's.
    """

    random: float = 0.0
    second: float = 0.1
    most_open: int = 200
    due: float = 24 * _HOUR
    urgent: float = 15 * _MINUTE
    lease: float = 10 * _MINUTE

    @classmethod
    def of(cls, config: PeopleConfig) -> ReviewPolicy:
        """As a programme's `serving.people` has it."""
        return cls(
            config.random,
            config.second,
            config.most_open,
            config.due_hours * _HOUR,
            config.urgent_minutes * _MINUTE,
            config.lease_minutes * _MINUTE,
        )

    @property
    def drawn_below(self) -> str:
        """An id whose random digits come before this one, as text, is drawn."""
        return f"{round(self.random * 16**_DRAWN):0{_DRAWN}x}" if self.random < 1 else "g"

    def why(self, capture: Capture) -> Why | None:
        """Why people should look at it; None where they needn't, or its text wasn't kept."""
        if capture.text is None:
            return None
        if capture.by == "nobody":
            return Why.NOBODY
        # Before all that follows from what student and teacher said, else the sample would not be one.
        if capture.id[RANDOM_DIGITS:] < self.drawn_below:
            return Why.RANDOM
        if capture.agree is False:
            return Why.DISAGREEMENT
        return Why.ESCALATION if capture.reason in ESCALATED else None

    def due_at(self, capture: Capture, why: Why) -> float:
        """By when a verdict is wanted, in seconds since the epoch."""
        return capture.at + (self.urgent if why is Why.NOBODY else self.due)

    def wanted(self, capture: Capture) -> int:
        """How many people are asked."""
        return 2 if uniform("second", capture.id) < self.second else 1


def value_of(capture: Capture) -> float:
    """How much a person's verdict on it, or a teacher's answer, would teach; the higher the more.

    In [2, 3] where student and teacher disagree: the surer the student, the more there is to unlearn. In
    [1, 2] where the student was not sure enough to answer, in [0, 1] else: the less sure, the more.
    """
    confidence = capture.confidence
    if confidence is None or not 0.0 <= confidence <= 1.0:  # NaN as well: nobody was sure
        confidence = 0.0
    if capture.agree is False:
        return 2.0 + confidence
    return (1.0 if capture.by == "nobody" or capture.reason in ESCALATED else 0.0) + 1.0 - confidence


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A request before people. `closed` is when enough of them had said the same, or one more had decided.

    `wanted` is how many are asked now, `independent` how many were at first. Times in seconds since the
    epoch.
    """

    capture: Capture
    why: Why
    due: float
    wanted: int
    independent: int
    closed: float | None = None

    @property
    def blind(self) -> bool:
        """Whether a reviewer shouldn't see what student and teacher said: a gold answer is a person's own."""
        return self.why is Why.RANDOM

    def overdue(self, now: float) -> bool:
        """Whether it still waits although a verdict was wanted before."""
        return self.closed is None and now > self.due


@dataclass(frozen=True, slots=True)
class ReviewVerdict:
    """What one person says of one item: the right value (JSON), or None: no answer is right."""

    capture: str
    reviewer: str
    at: float
    value: str | None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An item with all verdicts that stand, in the order in which they were given."""

    item: ReviewItem
    verdicts: tuple[ReviewVerdict, ...]

    @property
    def agreed(self) -> ReviewVerdict | None:
        """The first verdict that says what more than half of them say; None where nothing is."""
        said = agreed_value(self.verdicts)
        return next((verdict for verdict in self.verdicts if _said(verdict) == said), None)

    @property
    def independent(self) -> dict[str, str]:
        """Reviewer to answer, of those who were asked before anybody disagreed: for measures of agreement."""
        first = self.verdicts[: self.item.independent]
        return {verdict.reviewer: _said(verdict) for verdict in first}


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """How the queue stands. `open` counts `overdue` and `claimed` too."""

    open: int
    overdue: int
    claimed: int
    closed: int


def agreed_value(verdicts: Iterable[ReviewVerdict]) -> str | None:
    """What more than half of the verdicts say (JSON, `null` for "no answer is right"); None: nothing."""
    return majority(_said(verdict) for verdict in verdicts)


def _said(verdict: ReviewVerdict) -> str:
    return "null" if verdict.value is None else verdict.value


def uniform(*parts: str) -> float:
    """A number in [0, 1) that follows from `parts`."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
