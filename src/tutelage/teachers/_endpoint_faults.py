"""What an endpoint's refusals mean: ask again later, don't ask again at all, or this one prompt won't do."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tutelage.errors import TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import AnswerStatus

_OF_THE_PROMPT = {400, 413, 422}
_PASSING = {408, 409, 425, 429}  # of 4xx
# Not a word of billing alone: messages of rate limits tell where to pay for higher ones.
_OUT_OF_CREDIT = re.compile(
    r"insufficient_quota|billing[ _](?:error|hard|details)|credit.balance|exceeded your current quota|"
    r"spend.?limit|API usage limits?",
    re.I,
)
_RETRY_IN = re.compile(r"(?:retry|again) in ((?:\d+(?:\.\d+)?(?:ms|[smhd]))+)", re.I)
_TOLD = 500  # characters of a message that are repeated
_MOST_FAULTS, _DEEPEST = 10, 6  # of a list in an error's body; levels of it that are looked into
# Some say so with a 400; there, only what no remark on a prompt would say.
_SURELY_OUT_OF_CREDIT = re.compile(
    r"billing_error|credit balance is too low|insufficient_quota|spend_limit_reached|"
    r"specified API usage limit",
    re.I,
)
# Some say with a 400 what others say with a 401, 403 or 404 (Gemini, OpenRouter, Mistral).
_OF_ALL_PROMPTS = re.compile(
    r"api.?key (?:is )?(?:not valid|invalid|expired)|(?:a valid|invalid|incorrect) api.?key|"
    r"location is not supported|(?:not a valid|invalid|unknown) model\b",
    re.I,
)
# A 429 that waiting doesn't help: one request alone passes a limit a minute.
_NEVER_FITS = re.compile(r"request too large|tokens must be reduced", re.I)
_FILTERED = re.compile(
    r"content.?(?:filter|policy|management)|responsible.?ai|safety|moderation|"
    r"(?:prompt|input|message|content|request) (?:was|is|has been) (?:flagged|blocked)",
    re.I,
)
# A 403 with these words is about who asks, whatever else it speaks of.
_OF_THE_CALLER = re.compile(
    r"account|organi[sz]ation|api.?key|suspend|terminat|deactivat|disabled|permission|country|region", re.I
)
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
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
    except (ValueError, OverflowError):
        return None


def reset_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until a rate limit is free again, from `x-ratelimit-reset*` and `anthropic-ratelimit-*-reset`.

    Where some limits are said to have nothing remaining, the longest wait of theirs; else the shortest of
    all, since nobody knows which limit it was. None without any.
    """
    waits, exhausted = [], []
    for name, value in headers.items():
        limit = name.lower()
        if "ratelimit" not in limit or "reset" not in limit:
            continue
        seconds = _seconds_until(value)
        if seconds is None:
            continue
        waits.append(seconds)
        if headers.get(limit.replace("reset", "remaining"), "").strip() == "0":
            exhausted.append(seconds)
    return max(exhausted) if exhausted else min(waits, default=None)


def _seconds_until(value: str) -> float | None:
    """`6m0s`, `20ms`, seconds, a time since 1970 in seconds or milliseconds, or an ISO time."""
    value = value.strip()
    if value and not _SPAN.sub("", value):
        return sum(float(number) * _UNITS[unit] for number, unit in _SPAN.findall(value))
    try:
        number = float(value)
    except ValueError:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return max(moment.timestamp() - time.time(), 0.0)
    if not math.isfinite(number):
        return None
    for least, scale in ((1e11, 0.001), (1e9, 1.0)):
        if number >= least:
            return max(number * scale - time.time(), 0.0)
    return max(number, 0.0)


def error_message(body: bytes) -> str:
    """What an error's body says, without the pieces of the prompt that some repeat beside their message."""
    text = body.decode("utf-8", "backslashreplace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.split()) or "nothing"
    return " - ".join(_words(content)) or "an error without a message"


def _words(content: Any, deep: int = 0) -> Iterator[str]:
    """Message and codes of an error: OpenAI's, Anthropic's, Gemini's (in a list), FastAPI's, Mistral's.

    The last two list what a request may not hold, each with its place.
    """
    if deep > _DEEPEST:
        return
    if isinstance(content, list):
        for item in content[:_MOST_FAULTS]:
            yield from _words(item, deep + 1)
    if isinstance(content, str):
        yield content
    if not isinstance(content, dict):
        return
    if content.get("error"):
        yield from _words(content["error"], deep + 1)
        return
    if isinstance(content.get("msg"), str):  # without its `input`, which may be the prompt
        place = content.get("loc")
        yield f"{'.'.join(map(str, place))}: {content['msg']}" if isinstance(place, list) else content["msg"]
        return
    yield from _words(content.get("message") or content.get("detail"), deep + 1)
    details = content.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    for part in (content.get("code"), content.get("type"), content.get("param"), code):
        if isinstance(part, str) and part:
            yield part


def fault_of(
    status: int, message: str, headers: Mapping[str, str], endpoint: str, key_env: str
) -> TeacherUnavailable | TeacherRefusesAccess | PromptRejected:
    """What an HTTP status with the endpoint's message means. The message must be free of the key.

    Gateways answer 403 both to callers without access and to a prompt that a filter stopped.
    """
    said = f"{endpoint} answered {status}: {message[:_TOLD]}"
    of_all = _SURELY_OUT_OF_CREDIT.search(message) or _OF_ALL_PROMPTS.search(message)
    if status in _OF_THE_PROMPT and not of_all:
        return _about_the_prompt(status, message, said)
    if status == 429 and _NEVER_FITS.search(message):
        return PromptRejected(AnswerStatus.UNPARSEABLE, said, known=True)
    if status == 403 and _FILTERED.search(message) and not _OF_THE_CALLER.search(message):
        return PromptRejected(AnswerStatus.REFUSED, said, known=False)
    if 300 <= status < 400:
        return TeacherRefusesAccess(
            f"{said}. Redirects aren't followed, since they would carry the key. Mend: set teacher.base_url "
            f"to where it points{_target(headers)}"
        )
    final = 400 <= status < 500 and status not in _PASSING
    if final or (status == 429 and _is_out_of_credit(message)):
        return TeacherRefusesAccess(
            f"{said}. Mend: check the key in {key_env}, its credit, teacher.model and teacher.base_url"
        )
    return TeacherUnavailable(said, _wait(status, message, headers), fault=str(status))


def _about_the_prompt(status: int, message: str, said: str) -> PromptRejected:
    if _FILTERED.search(message):
        return PromptRejected(AnswerStatus.REFUSED, said, known=True)
    known = status == 413 or _TOO_LONG.search(message) is not None
    return PromptRejected(AnswerStatus.UNPARSEABLE, said, known)


def _is_out_of_credit(message: str) -> bool:
    """Whether a 429 is for good. Some say the same words of a limit a minute, with when to ask again."""
    if _SURELY_OUT_OF_CREDIT.search(message):
        return True
    return _OUT_OF_CREDIT.search(message) is not None and _RETRY_IN.search(message) is None


def _wait(status: int, message: str, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as far as anything says."""
    wait = retry_after(headers)
    if wait is not None or status != 429:
        return wait
    told = _RETRY_IN.search(message)
    return reset_after(headers) if told is None else _seconds_until(told[1].lower())


def _target(headers: Mapping[str, str]) -> str:
    """The host that a redirect names; not the rest of the address, which may hold a token."""
    host = urlsplit(headers.get("location", "")).hostname
    return f" ({host})" if host else ""


def fault_in(content: Any) -> tuple[int, str] | None:
    """Status and message of an error that came in a body with status 200; None where there is none.

    The status is the error's code, or that of its type; 500 where neither says.
    """
    error = content.get("error") if isinstance(content, dict) else None
    if not error:
        return None
    code = error.get("code") if isinstance(error, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == 3:
        code = int(code)
    status = code if type(code) is int else _STATUS_OF_TYPE.get(str(kind), 500)
    return status, " - ".join(_words(error)) or "an error without a message"
