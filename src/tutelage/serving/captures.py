"""What a server keeps of each request."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Literal

_STEPS = 4096  # of a millisecond, the finest time that an id tells
_RANDOM = 62  # bits of an id that nothing else decides
_last = 0

Promise = Literal["durable", "written", "batched"]
"""What holds of a capture when its answer goes out: it is on disk, it was handed to the operating system
(which keeps it when the server is killed), or it waits in memory."""
_turn = threading.Lock()


@dataclass(frozen=True, slots=True)
class Capture:
    """One request and its answer.

    `by` is "student", "teacher", "person" or "nobody". Values are JSON (`records.dump_value`); `text` is None
    where content isn't kept, and `hash` (`records.text_hash`) stays. `at` is in seconds since the epoch,
    `latency` in seconds, `cost` in US dollars. `agree` is None until both the student's and the teacher's
    value are known; `audited` tells that the teacher was asked only to see whether the student was right.
    """

    id: str
    at: float
    key: str
    slice: str
    text: str | None
    hash: str
    stage: str
    by: str
    reason: str = ""
    revision: str = ""
    value: str | None = None
    confidence: float | None = None
    student_value: str | None = None
    teacher_value: str | None = None
    agree: bool | None = None
    audited: bool = False
    latency: float = 0.0
    cost: float = 0.0


def new_id() -> str:
    """A UUID of version 7 (RFC 9562) as 32 hex digits: ids of one process sort by the time of their making.

    Those of several processes do as far as their clocks agree.
    """
    global _last
    with _turn:
        _last = max(_last + 1, time.time_ns() * _STEPS // 1_000_000)
        ticks = _last
    milliseconds, step = divmod(ticks, _STEPS)
    random = int.from_bytes(os.urandom(8), "big") >> (64 - _RANDOM)
    return f"{(milliseconds << 80) | (7 << 76) | (step << 64) | (2 << _RANDOM) | random:032x}"


def first_id(at: float) -> str:
    """The smallest id that could be made at `at`, in seconds since the epoch: where pages by time begin."""
    return f"{int(at * 1000) << 80:032x}"
