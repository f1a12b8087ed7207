"""Waits for what happens, however long the machine halts meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_LONG = 60.0  # seconds


def soon(true: Callable[[], bool]) -> None:
    """Until it is true."""
    ends = time.monotonic() + _LONG
    while not true():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.005)


async def until(true: Callable[[], bool]) -> None:
    """The same in an event loop, which goes on meanwhile."""
    ends = time.monotonic() + _LONG
    while not true():
        assert time.monotonic() < ends, "it never came"
        await asyncio.sleep(0.02)
