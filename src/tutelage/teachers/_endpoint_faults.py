"""What an endpoint's refusals mean: ask again later, don't ask again at all, or this one prompt won't do."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from tutelage.errors import TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import AnswerStatus

_OF_THE_PROMPT = {400, 413, 422}
_PASSING = {408, 409, 425, 429}  # of 4xx
_OUT_OF_CREDIT = re.compile(r"insufficient_quota|billing|credit balance|exceeded your current quota", re.I)
_FILTERED = re.compile(r"content.?(?:filter|policy|management)|responsible.?ai|safety|moderation", re.I)
_TOO_LONG = re.compile(r"context|too (?:long|large|many tokens)|maximum.{0,20}(?:length|tokens)", re.I)


class PromptRejected(Exception):
    """The endpoint won't answer this prompt. `known` tells whether it said why in words we know."""

    def __init__(self, status: AnswerStatus, reason: str, known: bool) -> None:
        super().__init__(reason)
        self.status, self.reason, self.known = status, reason, known


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or an HTTP date); None without one."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        return max(parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def fault_of(
    status: int, message: str, headers: Mapping[str, str], endpoint: str, key_env: str
) -> TeacherUnavailable | TeacherRefusesAccess | PromptRejected:
    """What an HTTP status with the endpoint's message means. The message must be free of the key."""
    said = f"{endpoint} answered {status}: {message}"
    if status in _OF_THE_PROMPT:
        if _FILTERED.search(message):
            return PromptRejected(AnswerStatus.REFUSED, said, known=True)
        known = status == 413 or _TOO_LONG.search(message) is not None
        return PromptRejected(AnswerStatus.UNPARSEABLE, said, known)
    final = 400 <= status < 500 and status not in _PASSING
    if final or (status == 429 and _OUT_OF_CREDIT.search(message)):
        return TeacherRefusesAccess(
            f"{said}. Check the key in {key_env}, its credit, teacher.model and teacher.base_url"
        )
    return TeacherUnavailable(said, retry_after(headers))
