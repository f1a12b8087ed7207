"""The formats of logs by the name that `format` gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.data.logs import completions, langfuse, litellm, spans
from tutelage.data.logs.chats import Request


@dataclass(frozen=True)
class LogFormat:
    """`requests_in` gives the requests of a record, `looks_like` whether it can be no other format's."""

    requests_in: Callable[[Mapping[str, Any]], Iterator[Request]]
    looks_like: Callable[[Mapping[str, Any]], bool]


LOGS: Mapping[str, LogFormat] = {
    "otel": LogFormat(spans.requests_in, spans.looks_like),
    "litellm": LogFormat(litellm.requests_in, litellm.looks_like),
    "langfuse": LogFormat(langfuse.requests_in, langfuse.looks_like),
    "openai": LogFormat(completions.requests_in, completions.looks_like),
}


def log_format(record: Mapping[str, Any]) -> str | None:
    """The format of the log that a record is from; None where it is no log's, or may be of several."""
    return next((name for name, log in LOGS.items() if log.looks_like(record)), None)
