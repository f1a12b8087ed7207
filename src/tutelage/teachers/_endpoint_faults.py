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
_FILTERED = re.compile(
    r"content.?(?:filter|policy|management)|responsible.?ai|safety|moderation|"
    r"(?:prompt|input|message|content|request) (?:was|is|has been) (?:flagged|blocked)",
    re.I,
)
# A 403 with these words is about who asks, whatever else it speaks of.
_OF_THE_CALLER = re.compile(
    r"account|organi[sz]ation|api.?key|suspend|terminat|deactivat|disabled|permission|country|region", re.I
)
_TOO_LONG = re.compile(r"context|too (?:long|large|many tokens)|maximum.{0,20}(?:length|tokens)", re.I)


class PromptRejected(Exception):
    """The endpoint won't answer this prompt. `known` tells that it is surely the prompt's fault."""

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
    """What an HTTP status with the endpoint's message means. The message must be free of the key.

    Gateways answer 403 both to callers without access and to a prompt that a filter stopped.
    """
    said = f"{endpoint} answered {status}: {message}"
    if status == 403 and _FILTERED.search(message) and not _OF_THE_CALLER.search(message):
        return PromptRejected(AnswerStatus.REFUSED, said, known=False)
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
