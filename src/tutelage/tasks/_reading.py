"""An answer's text as JSON, strictly: what isn't exactly what was asked for is a fault with a reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from tutelage.records import AnswerStatus, storable
from tutelage.tasks.protocol import Parsed

_FENCE = "```"
_LANGUAGE = re.compile(r"\Ajson(?=[\s{])", re.I)  # of a fence; a label may begin so too
# An answer that opens so, and holds no value, is a refusal rather than noise.
_REFUSAL = re.compile(
    r"\A\W*(i(?:['’]?m| am) sorry|sorry|i can(?:no|['’])t|i(?:['’]m| am) (?:not able|unable)|as an ai)", re.I
)
# Of a free text that isn't enough: replies to people open with an apology, or say what can't be done.
# A refusal speaks of the request itself.
_APOLOGY = r"(?:(?:i(?:['’]?m| am) )?(?:(?:so|very|really) )?sorry\W+(?:but\W+)?)?"
_CANNOT = r"i(?: can(?:no|['’])t| won['’]t| will not| am (?:not able|unable) to|['’]m (?:not able|unable) to)"
_THE_REQUEST = (
    r"(?:help|assist)(?: you)? with (?:that|this)|comply|fulfil|"
    r"(?:do|answer|write|discuss|generate|create|provide|respond to|engage with|continue with) (?:that|this)"
)
_REFUSING_TEXT = re.compile(rf"\A\W*{_APOLOGY}(?:as an ai\b|{_CANNOT} (?:{_THE_REQUEST})\b)", re.I)
_SHOWN = 80


class NoAnswer(Exception):
    """Why a text holds no value of the task."""

    def __init__(self, status: AnswerStatus, reason: str) -> None:
        super().__init__(reason)
        self.parsed = Parsed(status, None, reason)


def unparseable(reason: str) -> NoAnswer:
    """A text that isn't what was asked for."""
    return NoAnswer(AnswerStatus.UNPARSEABLE, reason)


def out_of_set(reason: str) -> NoAnswer:
    """A value of the right kind that is none of those allowed."""
    return NoAnswer(AnswerStatus.OUT_OF_SET, reason)


def refused() -> NoAnswer:
    """A teacher that won't answer."""
    return NoAnswer(AnswerStatus.REFUSED, "the teacher declined to answer")


def attempted(read: Callable[[], Parsed]) -> Parsed:
    """What `read` returns, or the fault that it raises as NoAnswer."""
    try:
        return read()
    except NoAnswer as fault:
        return fault.parsed


def is_refusal(text: str) -> bool:
    """Whether a text opens as refusals do."""
    return _REFUSAL.match(text) is not None


def is_refusing_text(text: str) -> bool:
    """Whether a free text declines the request, in the words that models have for it."""
    return _REFUSING_TEXT.match(text) is not None


def answer_text(raw: str) -> str:
    """The text without white space around it and without a code fence around all of it.

    Raises NoAnswer where it is empty.
    """
    text = raw.strip()
    if not text:
        raise unparseable("the answer is empty")
    return _unfenced(text)


def _unfenced(text: str) -> str:
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    return _LANGUAGE.sub("", text[len(_FENCE) : -len(_FENCE)]).strip()


def read_json(text: str) -> Any:
    """The text's JSON, in which no key stands twice and every number is finite.

    Raises NoAnswer: REFUSED for what opens as a refusal, else UNPARSEABLE.
    """
    try:
        return load_strictly(text)
    except (ValueError, RecursionError) as error:
        if is_refusal(text):
            raise refused() from None
        raise unparseable(f"not the JSON that was asked for: {error}") from None


def load_strictly(text: str) -> Any:
    """JSON as `json.loads`, but for the laxities of it.

    Raises ValueError where a key stands twice or a number isn't finite, and RecursionError as json does.
    """
    return json.loads(
        text, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant, parse_float=_finite
    )


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise ValueError(f"the key {storable(twice)[:_SHOWN]!r} stands twice")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:_SHOWN]} is too large")
    return number


def require_keys(content: Any, keys: Sequence[str]) -> dict[str, Any]:
    """An object of exactly these keys. Raises NoAnswer."""
    if not isinstance(content, dict) or set(content) != set(keys):
        if len(keys) == 1:
            raise unparseable(f"no object with the one key {keys[0]!r}")
        raise unparseable(f"no object with the keys {' and '.join(map(repr, keys))}")
    return content


def read_rationale(content: dict[str, Any], key: str) -> str:
    """The reasons in an answer. Raises NoAnswer where they are no text."""
    given = content[key]
    if not isinstance(given, str):
        raise unparseable(f"{key!r} holds {type(given).__name__}, not text")
    return storable(given)
