"""Which faults there are, when a call is made again, and how many may be."""

from __future__ import annotations

import random

from tutelage.errors import TeacherUnavailable

LONGEST_WAIT = 60.0  # seconds between two tries, whatever a teacher asks for
LONGEST_BACKOFF = 15.0  # where it asks for nothing: overload and outages are the pace's and the breaker's
_UNMARKED = 4  # times `attempts`: tries in all, with those that are no mark against a prompt
FEWEST = 10  # calls that any run may make again
_CONGESTED = {"408", "429", "503", "504", "529", "time-out", "deadline"}
_NEVER_READ = {
    "connection",
    "502",
}  # where nothing was billed: no connection was made, or none behind a proxy


class RetryBudget:
    """Calls that may be made again in a run: a share of the prompts to ask, whichever they are.

    A count for each call lets a failing endpoint be asked several times over for every prompt of a run.
    """

    def __init__(self, share: float, prompts: int) -> None:
        self.share = share
        self.allowed = max(FEWEST, share * prompts)
        self.used = 0

    def take(self) -> bool:
        """Use one; False where none is left."""
        if self.used >= self.allowed:
            return False
        self.used += 1
        return True


def wait_before_again(tries: int, first: float) -> float:
    """Seconds after failed try number `tries`: doubling from `first`, with jitter up to `first`."""
    doubled = first * 2.0 ** min(tries - 1, 30)
    return min(doubled + random.uniform(0.0, first), LONGEST_BACKOFF)  # noqa: S311 - keeps no secret


def is_mark(error: TeacherUnavailable) -> bool:
    """Whether a fault may be the prompt's.

    Not where it cost nothing and an endpoint turned it away unread, having too much to do, or wasn't there.
    """
    return error.billed or not (congests(error) or error.fault in _NEVER_READ)


def had_its_tries(marks: int, tries: int, attempts: int) -> bool:
    """Whether a prompt has failed often enough; `marks` of its `tries` may have been for itself."""
    return marks >= attempts or tries >= _UNMARKED * attempts


def fault_name(error: TeacherUnavailable) -> str:
    """A short name under which faults of the kind are counted."""
    return error.fault or ("rate limit" if error.retry_after is not None else "other fault")


def congests(error: TeacherUnavailable) -> bool:
    """Whether a fault tells that the endpoint has too much to do."""
    return error.retry_after is not None or error.fault in _CONGESTED
