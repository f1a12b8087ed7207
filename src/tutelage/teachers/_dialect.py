"""What tells one kind of API from another: the form of a request, and how its reply is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from tutelage.teachers._logprobs import Token

Messages = Sequence[Mapping[str, str]]

LOGPROBS = "logprobs"  # the optional part of a request by which log-probabilities are asked for
TURNS_DOWN = (400, 422)  # statuses of a request that can't be taken as it is
_MOST_TOKENS = 10**9  # a larger count is no account
# Settings of a request, which are no tokens of its prompt.
_SETTINGS = {"model", "max_tokens", "max_completion_tokens", "temperature", LOGPROBS, "top_logprobs"}
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_PLACE = "\ue000the text of the prompt\ue000"  # private-use characters, which JSON leaves as they are


class MalformedBody(ValueError):
    """A body that is no reply."""


class Finish(StrEnum):
    """Why an answer ended."""

    DONE = "done"
    CUT = "cut"  # at max_output_tokens
    FILTERED = "filtered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens as billed. Of `input`, `cached` were read from the endpoint's cache and `written` to it."""

    input: int
    output: int
    cached: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A reply's content. `counts` is None without an account, `tokens` without log-probabilities.

    `charged` is the cost in US dollars that the endpoint itself gives; None where it gives none.
    """

    text: str
    finish: Finish = Finish.DONE
    counts: Counts | None = None
    tokens: list[Token] | None = None
    model: str = ""
    charged: float | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one sample is asked for."""

    temperature: float
    logprobs: bool = False


class Dialect(Protocol):
    """One kind of API.

    `path` is where requests go, below the base URL. `without` names optional parts of a request that the
    endpoint turned down, or that aren't wanted. `overhead` is how many tokens an endpoint may add to a
    request beyond those of its text.
    """

    path: str
    without: set[str]

    @property
    def overhead(self) -> int:
        """See above."""
        ...

    def headers(self, key: str) -> dict[str, str]:
        """Headers of every request, beside those of the configuration; `key` may be empty."""
        ...

    def request(self, messages: Messages, sampling: Sampling) -> dict[str, Any]:
        """The request's content."""
        ...

    def leave_out(self, request: Mapping[str, Any], status: int, message: str) -> bool:
        """Whether this fault turns down an optional part of `request`; if so it isn't sent again."""
        ...

    def fault(self, content: Any) -> tuple[int, str] | None:
        """Status and message of a fault that came with status 200; None where there is none."""
        ...

    def read(self, content: Any) -> Said:
        """Read a reply's decoded body. Raises MalformedBody."""
        ...


class Form:
    """The bytes of a request around the text of a prompt, which alone differs from call to call.

    `fixed` are the messages before the last, `request` is the whole with another text in place.
    """

    __slots__ = ("_fixed_size", "_head", "_tail", "fixed", "request", "role")

    def __init__(self, dialect: Dialect, messages: Messages, sampling: Sampling) -> None:
        self.fixed, self.role = list(messages[:-1]), messages[-1]["role"]
        self.request = dialect.request([*self.fixed, {"role": self.role, "content": _PLACE}], sampling)
        parts = _ENCODE(self.request).split(_ENCODE(_PLACE))
        if len(parts) != 2:
            raise ValueError(f"the request has {len(parts) - 1} places for the prompt's text, and needs one")
        self._head, self._tail = map(_as_bytes, parts)
        read = {name: part for name, part in self.request.items() if name not in _SETTINGS}
        self._fixed_size = len(_as_bytes(_ENCODE(read)))

    def fits(self, messages: Messages) -> bool:
        """Whether these messages differ from the form's in their text alone."""
        return self.role == messages[-1]["role"] and self.fixed == list(messages[:-1])

    def body(self, messages: Messages) -> bytes:
        """The request for messages that fit."""
        return b"".join((self._head, _as_bytes(_ENCODE(messages[-1]["content"])), self._tail))

    def most_tokens(self, messages: Messages) -> int:
        """What such a request can come to at most, at a token a byte of all that the model reads.

        Vocabularies that split digits or fall back on bytes reach that, and none passes it.
        """
        return self._fixed_size + len(_as_bytes(_ENCODE(messages[-1]["content"])))


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # JSON's own escape of a lone surrogate


def count_of(usage: Any, name: str) -> int | None:
    """A number of tokens; None where it is absent or none that can be booked."""
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if type(count) is int and 0 <= count <= _MOST_TOKENS else None
