"""How many calls at once: an endpoint's limit, found by asking it.

The window grows while that brings answers, and shrinks where the endpoint says that it is too much (additive
increase, multiplicative decrease, as TCP's congestion control does) or where calls only wait in its queue.
docs/design/pacing.md has the states and why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Protocol

START = 4  # calls at once after the first two, which go one by one
SHRINK = 0.7  # what a sign of congestion leaves of the window
QUEUEING = 2.5  # median latency over the best one, from which calls are thought to wait in a queue
GAIN = 1.2  # speed over the last round's, from which a larger window was worth it
HELD = 0.85  # speed after a cut over that before, from which the window before was not needed
SPARE = 0.125  # of the window
TOLERATED = (
    0.08  # share of calls turned away, of late, that is taken for chance by a window of `LARGE` or more
)
LARGE = 8
_LATELY = 1 / 30  # weight of the newest call in that share
_ALONE = 2  # calls of the first round
_TELLING = 8  # calls from which a speed is told from chance


@dataclass(slots=True)
class Ticket:
    """A call under way: the round it was sent in, and when, in seconds of the caller's clock."""

    round: int
    sent: float


class Pace(Protocol):
    """How many calls may be under way, learned from what becomes of them."""

    @property
    def limit(self) -> int:
        """Calls that may be under way now, at least 1."""
        ...

    @property
    def spare(self) -> int:
        """Calls that may wait for the disk beside those."""
        ...

    def filled(self) -> None:
        """Tell that another call would have gone out but for the limit."""
        ...

    def sent(self, now: float) -> Ticket:
        """A call goes out."""
        ...

    def answered(self, ticket: Ticket, now: float, latency: float) -> None:
        """A call brought answers after `latency` seconds."""
        ...

    def failed(self, ticket: Ticket, now: float, congested: bool) -> None:
        """A call brought none; `congested` where that tells that the endpoint has too much to do."""
        ...

    def restart(self) -> None:
        """The endpoint was down and is back: begin low."""
        ...


class Fixed:
    """The same number of calls throughout: for a teacher that says how many it can take."""

    def __init__(self, limit: int) -> None:
        self.limit, self.spare = limit, 0

    def filled(self) -> None:
        """See `Pace`."""

    def sent(self, now: float) -> Ticket:
        """See `Pace`."""
        return Ticket(0, now)

    def answered(self, ticket: Ticket, now: float, latency: float) -> None:
        """See `Pace`."""

    def failed(self, ticket: Ticket, now: float, congested: bool) -> None:
        """See `Pace`."""

    def restart(self) -> None:
        """See `Pace`."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """The state before a window was cut for latency, to which it returns where the cut cost speed."""

    limit: float
    speed: float
    slow_start: bool


class Window:
    """The pace of an endpoint whose limit nobody knows, up to `ceiling` calls at once.

    A round ends when as many calls as the window holds were sent in it and came back. In slow start the
    window doubles each round; after the first cut for congestion it grows by 1 a round. Faults that tell of
    too much work cut it, once for all calls sent before the cut; a large window takes a share of up to
    `TOLERATED` for chance, and doesn't grow in a round that had one. So does a median latency beyond
    `QUEUEING` times the best round's where the round was not `GAIN` times as fast as the last. That cut is an
    experiment: where the speed falls with the window, the latency was no queue of our own making; the window
    comes back, and latency is measured against what it is now.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self._limit, self._slow_start = 1.0, True
        self._best: float | None = None  # seconds: the lowest of the rounds' median latencies
        self._speed = 0.0  # calls a second of the last round
        self._cut: _Cut | None = None
        self._away = 0.0  # share of calls that were turned away of late
        self._round = self._cut_in = 0
        self._begin()

    def _begin(self) -> None:
        self._latencies: list[float] = []
        self._came, self._full = 0, False  # `_came`: of the calls sent in this round
        self._tolerated = 0
        self._since: float | None = None  # when the first of them was sent
        self._served = 0  # answers since then, to whichever call
        self._round += 1

    @property
    def limit(self) -> int:
        """See `Pace`."""
        return int(self._limit)

    @property
    def spare(self) -> int:
        """See `Pace`: enough to keep an endpoint busy meanwhile, and few, since a kill loses what waits."""
        return int(self._limit * SPARE)

    def filled(self) -> None:
        """See `Pace`."""
        self._full = True

    def sent(self, now: float) -> Ticket:
        """See `Pace`."""
        if self._since is None:
            self._since = now
        return Ticket(self._round, now)

    def answered(self, ticket: Ticket, now: float, latency: float) -> None:
        """See `Pace`."""
        self._away *= 1 - _LATELY
        if self._since is not None and now > self._since:
            self._served += 1
        if ticket.round == self._round:
            self._latencies.append(latency)
            self._came += 1
            self._close_if_over(now)

    def failed(self, ticket: Ticket, now: float, congested: bool) -> None:
        """See `Pace`."""
        if congested and ticket.round > self._cut_in:
            self._away += (1 - self._away) * _LATELY
            if self.limit < LARGE or self._away > TOLERATED:
                self._cut_in, self._away = self._round, 0.0
                self._set(self._limit * SHRINK)
                self._slow_start, self._cut = False, None
                self._begin()
                return
            self._tolerated += 1
        if ticket.round == self._round:
            self._came += 1
            self._close_if_over(now)

    def restart(self) -> None:
        """See `Pace`."""
        self._cut_in = self._round
        self._set(min(self._limit, START))
        self._slow_start, self._cut, self._speed = True, None, 0.0
        self._away = 0.0
        self._begin()

    @property
    def _enough(self) -> int:
        """Calls of a round: the window's, and beyond slow start enough to tell a speed from chance."""
        if self._best is None:
            return _ALONE
        return self.limit if self._slow_start else max(self.limit, _TELLING)

    def _set(self, limit: float) -> None:
        self._limit = min(max(limit, 1.0), float(self.ceiling))

    def _close_if_over(self, now: float) -> None:
        if self._came < self._enough:
            return
        if self._latencies and self._full and self._since is not None:
            # Of calls that went out alone the quickest is the one that opened no connection.
            typical = min(self._latencies) if self._best is None else median(self._latencies)
            self._judge(typical, self._served / max(now - self._since, 1e-9))
        self._begin()

    def _judge(self, latency: float, speed: float) -> None:
        """Set the window by a round in which it was full."""
        cut, self._cut = self._cut, None
        best = latency if self._best is None else self._best
        if cut is not None and speed < HELD * cut.speed:
            # Half way (of logarithms): the verdict may be chance, and then the next cut corrects it.
            self._best, self._slow_start = math.sqrt(best * latency), cut.slow_start
            self._set(cut.limit)
            return
        self._best = min(best, latency)
        gained, self._speed = speed > GAIN * self._speed, speed
        if latency > QUEUEING * self._best and not gained:
            self._cut = _Cut(self._limit, speed, self._slow_start)
            self._slow_start = False
            self._set(self._limit * SHRINK)
        elif self._tolerated:
            return
        elif self._slow_start:
            self._set(START if self._limit == 1 else 2 * self._limit)
        else:
            self._set(self._limit + 1)
