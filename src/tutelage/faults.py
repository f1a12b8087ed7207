"""Named points of the code at which the tests kill the process, to see that nothing paid for is lost.

`point(name)` does nothing but in a process of pytest's, or one that it started, whose environment says
`TUTELAGE_FAULT=name` or `TUTELAGE_FAULT=name:n`: there the n-th passing ends the process by SIGKILL, as a
power cut or the kernel's killer of greedy processes would end it. No configuration reaches it.
"""

from __future__ import annotations

import os
import signal
from itertools import count

POINTS = (
    "opening",  # a call that may cost money is about to be written down
    "opened",  # it is on disk
    "asking",  # the teacher is about to be asked
    "answered",  # its answer is in memory
    "committing",  # a transaction of the ledger is whole but not committed
    "committed",  # it is
    "capturing",  # a transaction of a server's captures is whole but not committed
    "captured",  # it is
    "exporting",  # all is answered; the tables are about to be written
    "exported",  # they are; the stage has not written down that it finished
)
_VARIABLE = "TUTELAGE_FAULT"
_OF_A_TEST = "PYTEST_CURRENT_TEST"  # set by pytest in its own environment, and inherited

_armed: tuple[str, int] | None = None
_passings = count(1)


def arm() -> None:
    """Read the environment anew; a child process after a fork has to.

    Raises KeyError where it names no point.
    """
    global _armed, _passings
    name, _, number = os.environ.get(_VARIABLE, "").partition(":")
    if not name or _OF_A_TEST not in os.environ:
        _armed = None
        return
    if name not in POINTS:
        raise KeyError(f"{_VARIABLE} names {name!r}; points are {', '.join(POINTS)}")
    _armed, _passings = (name, int(number or 1)), count(1)


def point(name: str) -> None:
    """Pass the point `name`. Costs less than 100 ns where nothing is armed, as it is outside the tests."""
    if _armed is not None and _armed[0] == name and next(_passings) == _armed[1]:
        os.kill(os.getpid(), signal.SIGKILL)


arm()
