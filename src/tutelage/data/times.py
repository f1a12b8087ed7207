"""When a row was: cells of many kinds as seconds since the epoch."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
# What a number counts, by its size: seconds until the year 5138, then the finer units that logs have.
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))


def read_time(cell: Any) -> float | None:
    """Seconds since the epoch; None for an empty cell.

    Numbers count seconds, milliseconds, microseconds or nanoseconds, whichever is in this era. Texts are ISO
    8601; without a zone they are UTC. Raises ValueError for anything else.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, datetime):
        return _seconds(cell)
    if isinstance(cell, date):
        return _seconds(datetime(cell.year, cell.month, cell.day))
    if isinstance(cell, bool):
        raise ValueError("a truth value is no time")
    if isinstance(cell, int | float | Decimal):
        return _of_number(float(cell))
    if isinstance(cell, str):
        text = cell.strip()
        return _of_number(float(text)) if _NUMBER.fullmatch(text) else _seconds(datetime.fromisoformat(text))
    raise ValueError(f"{type(cell).__name__} is no time")


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _of_number(number: float) -> float:
    if math.isfinite(number):
        for limit, per_second in _UNITS:
            if abs(number) < limit:
                return number / per_second
    raise ValueError(f"{number:g} is no time of this era")
