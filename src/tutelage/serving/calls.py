"""Calls of the teacher: in time, a second one where that may help, and none while it is down."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Generic, TypeVar

from tutelage.errors import TeacherError, TeacherRefusesAccess, TeacherUnavailable

_log = logging.getLogger(__name__)
ENOUGH = 5  # failures in a row, after which the teacher is taken for down
FIRST, LONGEST = 1.0, 30.0  # seconds between two probes, each time twice as many
_PATIENCE = 1.0  # seconds that a request waits where the teacher asks for some; for more it isn't worth it
_LEAST = 0.05  # seconds that a second call should have at least
_TOLD = 60.0  # seconds within which people aren't told of the same outage again
# A teacher that is busy is there. One that refuses or hangs isn't, whatever it says of it.
_BUSY = "429"
_HOPELESS = frozenset(("time-out", "failed", "down"))  # where a second call at once would change nothing

Said = TypeVar("Said")
Tell = Callable[[str], None]


class Breaker:
    """Open from `ENOUGH` failures in a row until a call is answered; closed else.

    While it is open requests fail at once, but one at a time is let through as a probe, after `FIRST` seconds
    and then ever more seldom. Where the teacher says how long it wants to be left alone it is, `LONGEST`
    seconds at most. `tell` is told when it opens.
    """

    def __init__(self, name: str, tell: Tell, clock: Callable[[], float] = monotonic) -> None:
        self._name, self._tell, self._clock = name, tell, clock
        self.failures = 0
        self.fault = ""
        self._interval, self._probe_at = FIRST, 0.0
        self._held_until = self._told = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether requests fail at once."""
        return self.failures >= ENOUGH

    def wait(self) -> float:
        """Seconds that the teacher asked to be left alone yet. Raises TeacherUnavailable where it isn't to be
        asked; else the caller asks it, which while the breaker is open is a probe."""
        now = self._clock()
        if (wait := self._held_until - now) > _PATIENCE:
            raise TeacherUnavailable(f"{self._name} wants to be left alone", wait, fault="down")
        if self.is_open:
            if now < self._probe_at:
                told = f"{self._name} is down: {self.fault}"
                raise TeacherUnavailable(told, self._probe_at - now, fault="down")
            self._plan(now)
        return max(0.0, wait)

    def answered(self) -> None:
        """A call was answered."""
        if self.is_open:
            _log.warning("%s answers again", self._name)
        self.failures, self.fault, self._interval = 0, "", FIRST

    def failed(self, fault: TeacherError) -> None:
        """A call failed."""
        now = self._clock()
        if isinstance(fault, TeacherUnavailable):
            if fault.fault == "down":  # it wasn't asked
                return
            if fault.retry_after is not None:
                self._held_until = max(self._held_until, now + min(fault.retry_after, LONGEST))
            if fault.fault == _BUSY:
                return
        was_open = self.is_open
        self.failures, self.fault = self.failures + 1, str(fault)
        if self.is_open and not was_open:
            self._plan(now)
            if now - self._told > _TOLD:
                self._told = now
                self._tell(f"{self._name} is down: {self.fault}")

    def _plan(self, now: float) -> None:
        self._probe_at, self._interval = now + self._interval, min(2 * self._interval, LONGEST)

    def state(self) -> dict[str, Any]:
        """For people: whether it is open, since how many failures, and seconds until the next probe."""
        probe = max(0.0, self._probe_at - self._clock()) if self.is_open else None
        return {"open": self.is_open, "failures": self.failures, "fault": self.fault, "probe_in": probe}


class Calls:
    """Makes calls of one teacher. `hedge`: seconds after which a second one is made beside the first."""

    def __init__(self, name: str, hedge: float | None, tell: Tell) -> None:
        self._name, self._hedge = name, hedge
        self.breaker = Breaker(name, tell)

    async def make(self, call: Callable[[], Awaitable[Said]], within: float, *, hedged: bool = True) -> Said:
        """What the call returns, within so many seconds. Raises TeacherError, and nothing else.

        A call that fails with a passing fault is made once again, where time is left.
        """
        ends = monotonic() + within
        wait = self.breaker.wait()
        if wait and wait > within - _LEAST:
            raise TeacherUnavailable(f"{self._name} wants to be left alone", wait, fault="down")
        await asyncio.sleep(wait)
        try:
            said = await self._twice(call, ends, self._hedge if hedged else None)
        except TeacherError as fault:
            self.breaker.failed(fault)
            raise
        self.breaker.answered()
        return said

    async def _twice(self, call: Callable[[], Awaitable[Said]], ends: float, hedge: float | None) -> Said:
        try:
            return await self._first(call, ends, hedge)
        except TeacherUnavailable as fault:
            pause = _pause(fault)
            if self.breaker.is_open or pause is None or monotonic() + pause + _LEAST > ends:
                raise
        await asyncio.sleep(pause)
        return await self._first(call, ends, hedge)

    async def _first(self, call: Callable[[], Awaitable[Said]], ends: float, hedge: float | None) -> Said:
        """Of one call, and of a second where the first takes long, the answer that is there first."""
        tasks = {asyncio.ensure_future(call())}
        try:
            if hedge is not None and not (await asyncio.wait(tasks, timeout=min(hedge, _until(ends))))[0]:
                tasks.add(asyncio.ensure_future(call()))
            fault: TeacherError | None = None
            pending = set(tasks)
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=_until(ends), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    if (error := task.exception()) is None:
                        return task.result()
                    fault = self._read(error)
            raise fault or TeacherUnavailable(f"{self._name} did not answer in time", fault="time-out")
        finally:
            for task in tasks:
                if not task.done():
                    task.cancel()
                elif not task.cancelled():
                    task.exception()  # seen: a second fault is no surprise

    def _read(self, error: BaseException) -> TeacherError:
        if isinstance(error, TeacherError):
            return error
        if not isinstance(error, Exception):
            raise error
        _log.error("a call of %s failed in a way that nobody foresaw", self._name, exc_info=error)
        return TeacherUnavailable(f"the call of {self._name} failed: {type(error).__name__}", fault="failed")


class Counted(Generic[Said]):
    """A call that counts how often it has to be paid for: one that was hedged and comes too late was made all
    the same. One that fails is taken for free."""

    def __init__(self, call: Callable[[], Awaitable[Said]]) -> None:
        self._call = call
        self.paid = 0

    async def __call__(self) -> Said:
        """Make it."""
        self.paid += 1
        try:
            return await self._call()
        except TeacherError:
            self.paid -= 1
            raise


def _until(ends: float) -> float:
    return max(0.0, ends - monotonic())


def _pause(fault: TeacherUnavailable) -> float | None:
    """Seconds before a second call; None where it would change nothing."""
    if isinstance(fault, TeacherRefusesAccess) or fault.fault in _HOPELESS:
        return None
    if fault.retry_after is not None:
        return fault.retry_after if fault.retry_after <= _PATIENCE else None
    # A connection that was kept alive and closed at the other end fails at once, and a new one doesn't.
    return 0.0 if fault.fault == "connection" else random.uniform(0.05, 0.15)  # noqa: S311 - no secret
