"""A circuit breaker: while an endpoint is down nothing is asked of it but one probe at rising intervals."""

from __future__ import annotations

from collections import Counter
from typing import Generic, TypeVar

LEAST = 10  # calls that failed, with none answered, before the endpoint is thought to be down
FEW, LONG = 5, 60.0  # or so many, over so many seconds
LONGEST_INTERVAL = 30.0  # seconds between two probes

Call = TypeVar("Call")


class Breaker(Generic[Call]):
    """Closed while calls are answered; open from when too many failed in a row until one is answered.

    It opens when as many different calls have failed since the last answer as were under way at the first of
    them, at least `LEAST`; or `FEW` over `LONG` seconds. Different, because a prompt that no teacher answers
    may fail again and again while its endpoint is well; where no failure can be the prompt's, each counts, so
    that an outage is seen with few prompts left. Times are in seconds of the caller's clock; the first
    probe comes after `first_interval`, each later one after twice the interval before.
    """

    def __init__(self, patience: float, first_interval: float) -> None:
        self._patience, self._first_interval = patience, first_interval
        self._failing: Counter[Call] = Counter()
        self._marked = False  # whether one of these failures may have been its prompt's
        self._down_since: float | None = None
        self._interval = 0.0
        self._enough = LEAST
        self.is_open = False
        self.probe_at = 0.0

    def failed(self, call: Call, now: float, under_way: int, mark: bool = True) -> bool:
        """A call failed with a passing fault, which may be its prompt's (`mark`).

        Whether that opens the breaker, or shows it open still.
        """
        if self._down_since is None:
            self._down_since, self._enough = now, max(LEAST, under_way)
        self._failing[call] += 1
        self._marked = self._marked or mark
        if self.is_open:
            return True
        count = len(self._failing) if self._marked else self._failing.total()
        if count >= self._enough or (count >= FEW and self.down_for(now) >= LONG):
            self.is_open, self._interval = True, self._first_interval
            self._plan(now)
        return self.is_open

    def probe_failed(self, now: float) -> None:
        """The probe failed too: the next one comes later."""
        self._interval = min(2 * self._interval, LONGEST_INTERVAL)
        self._plan(now)

    def _plan(self, now: float) -> None:
        """The last probe comes when patience ends."""
        patience_left = max(self._patience - self.down_for(now), 0.0)
        self.probe_at = now + min(self._interval, patience_left)

    def gives_up(self, now: float) -> bool:
        """Whether it is open and `patience` is over."""
        return self.is_open and self.down_for(now) >= self._patience

    def down_for(self, now: float) -> float:
        """Seconds since the first of the failures in a row; 0 without any."""
        return 0.0 if self._down_since is None else now - self._down_since

    @property
    def suspects(self) -> bool:
        """Whether a call failed since the last answer."""
        return self._down_since is not None

    def take_failing(self) -> dict[Call, int]:
        """The calls that failed since the last answer, each with how often; they are forgotten here."""
        failing = dict(self._failing)
        self._failing.clear()
        self._marked = False
        return failing

    def answered(self) -> bool:
        """A call was answered. Whether that closes the breaker."""
        self.take_failing()
        self._down_since = None
        was_open, self.is_open = self.is_open, False
        return was_open
