"""All that flows between stages: frozen value objects and their Arrow schemas.

A *value* is what an answer says: for `classify` a label (str) or, with several labels allowed, a sorted
tuple of labels; for `judge` the verdict or the score as text; for `generate` the text; for `extract` a
`Fields`. On disk a value is JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Distribution = npt.NDArray[np.float32]


class Fields(Mapping[str, Any]):
    """A record as a value: field names and JSON values. Immutable; equal and hashed by its content.

    Order of keys means nothing; `1` and `1.0` are equal as JSON numbers are, `1` and `True` are not.
    """

    __slots__ = ("_canonical", "_content")

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = json.loads(json.dumps(dict(content), allow_nan=False))
        self._canonical = json.dumps(_plain(self._content), sort_keys=True)

    def __getitem__(self, name: str) -> Any:
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self._canonical == other._canonical

    def __hash__(self) -> int:
        return hash(self._canonical)

    def __repr__(self) -> str:
        return f"Fields({self._content!r})"


def _plain(content: Any) -> Any:
    """JSON in which numbers that are equal are written alike."""
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    if isinstance(content, float) and content.is_integer():
        return int(content)
    return content


Value = str | tuple[str, ...] | Fields
_Item = TypeVar("_Item")

NORMAL_SLICE = "normal"
SYNTHETIC = "synthetic"
"""The source of prompts that a model wrote; no file of the traffic's or gold's may be named so."""
PROMPT_COLUMNS = ("id", "text", "source", "slice", "group", "subject", "time", "sensitivity", "hash")


def text_hash(text: str) -> str:
    """SHA-256 of the text's UTF-8 bytes, 32 hex digits: the key under which an answer is paid once."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def storable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates escaped, the same object where there are none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def dump_value(value: Value) -> str:
    """A value as JSON, as it stands in tables."""
    plain = list(value) if isinstance(value, tuple) else value
    return json.dumps(dict(plain) if isinstance(plain, Fields) else plain, ensure_ascii=False)


def load_value(text: str) -> Value:
    """The inverse of `dump_value`."""
    value = json.loads(text)
    if isinstance(value, dict):
        return Fields(value)
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Prompt:
    """One input of the task. `id` is unique in its file; `source` names the file or data set.

    `row` is its row there, from 1, for whoever has to find it again; 0 where it isn't known. It is no part
    of what the prompt is: two that differ in it alone are equal, and tables don't keep it.

    Prompts of the same `group` belong together (near duplicates, or what one session asked), so that a split
    has all of them on one side; empty for one that stands alone. `subject` is whose it is, a customer,
    session or account as the source has it, empty where it isn't known; `time` when it was, in seconds since
    the epoch. `sensitivity` is its class, empty where it was taken before there were any.
    """

    id: str
    text: str
    source: str = ""
    slice: str = NORMAL_SLICE
    row: int = field(default=0, compare=False)
    group: str = ""
    subject: str = ""
    time: float | None = None
    sensitivity: str = ""

    @property
    def hash(self) -> str:
        """See `text_hash`."""
        return text_hash(self.text)


class PromptStream(Collection[Prompt]):
    """Prompts that can be gone through again and again, of which none is held: each pass reads them anew.

    `passes` begins one. Every pass brings the same `count` prompts in the same order, whatever was done to
    the first ones meanwhile.
    """

    def __init__(self, passes: Callable[[], Iterable[Prompt]], count: int) -> None:
        self._passes, self._count = passes, count

    @classmethod
    def of(cls, *parts: Collection[Prompt]) -> PromptStream:
        """All of several parts, one after the other."""
        return cls(lambda: chain.from_iterable(parts), sum(map(len, parts)))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self._passes())

    def __contains__(self, prompt: object) -> bool:
        return any(prompt == one for one in self)


def in_parts(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Some at a time: `size` of them, the last ones fewer."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


@dataclass(frozen=True, slots=True)
class Gold:
    """A prompt with the answer a human gave."""

    prompt: Prompt
    value: Value


@dataclass(frozen=True, slots=True)
class SealedGold:
    """An example of the sealed part, by which students are judged and nothing is chosen.

    It is no `Gold`: what learns, is shown to a teacher, or chooses a student, temperature or threshold takes
    `Gold`, signals or a calibration part, and a type checker refuses to be given this.
    """

    prompt: Prompt
    value: Value


AnyGold = Gold | SealedGold
"""What judges takes either: evaluation may be of any examples, and chooses nothing."""
SameGold = TypeVar("SameGold", Gold, SealedGold)
"""Of what gives back what it was given."""


class AnswerStatus(StrEnum):
    """What became of an answer. Only `OK` answers teach; the others are kept and quarantined."""

    OK = "ok"
    UNPARSEABLE = "unparseable"
    OUT_OF_SET = "out_of_set"
    REFUSED = "refused"


class DistributionOrigin(StrEnum):
    """Where a label distribution comes from, which bounds how far it can be trusted."""

    NONE = "none"
    MODEL = "model"
    LOGPROBS = "logprobs"
    VOTES = "votes"
    ENSEMBLE = "ensemble"
    HUMAN = "human"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer consumed. `cost` in US dollars, `latency` in seconds, tokens as billed."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    latency: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher said of one prompt.

    `value` is None unless `status` is OK. `distribution` has one float32 per label of the task, in the
    task's order: probabilities that sum to 1 (single label) or one independent probability per label
    (several labels); None where the teacher gave none. `raw` is the text as received, `model` the model
    name that the endpoint returned. `rationale` is the teacher's reasons, empty where none were asked for.
    `tokens` is its text's top-k log-probabilities as `signals.tokens` packs them, where they are kept.
    `repeatability` is the share of pairs of its samples that agree, None for one sample.
    """

    status: AnswerStatus
    value: Value | None
    distribution: Distribution | None = None
    origin: DistributionOrigin = DistributionOrigin.NONE
    raw: str = ""
    reason: str = ""
    model: str = ""
    usage: Usage = Usage()
    rationale: str = ""
    tokens: bytes = b""
    repeatability: float | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was not taken, and why. `row` counts from 1; `text` is cut to 200 characters."""

    source: str
    row: int
    id: str
    reason: str
    detail: str
    text: str


def prompt_schema() -> pa.Schema:
    """`prompts/prompts.parquet`."""
    import pyarrow as pa

    return pa.schema([(name, pa.float64() if name == "time" else pa.string()) for name in PROMPT_COLUMNS])


def gold_schema() -> pa.Schema:
    """`gold/sealed.parquet` and `gold/training.parquet`: prompts with `value`, a JSON string."""
    import pyarrow as pa

    return prompt_schema().append(pa.field("value", pa.string()))


def rejection_schema() -> pa.Schema:
    """`rejected.parquet`."""
    import pyarrow as pa

    return pa.schema(
        [
            ("source", pa.string()),
            ("row", pa.int64()),
            ("id", pa.string()),
            ("reason", pa.string()),
            ("detail", pa.string()),
            ("text", pa.string()),
        ]
    )


def answered_schema() -> pa.Schema:
    """`answers/transfer.parquet` and `answers/gold.parquet`: prompts with the teacher's answers.

    `gold` is the human value (JSON) where one may be learned from, else null. In `answers/gold.parquet`,
    which only evaluation reads, it is null throughout: the sealed set stays the one place of its values.
    `teacher_value` is what the teacher said where a person corrected it (`origin` is then `human`), else
    null. `basis` is the right under which the teacher answered (see `rights.basis_text`), also where it was
    corrected; empty where none was recorded.
    """
    import pyarrow as pa

    return pa.schema(
        [
            *prompt_schema(),
            ("status", pa.string()),
            ("value", pa.string()),
            ("distribution", pa.list_(pa.float32())),
            ("origin", pa.string()),
            ("cost", pa.float64()),
            ("gold", pa.string()),
            ("rationale", pa.string()),
            ("repeatability", pa.float64()),
            ("teacher_value", pa.string()),
            ("basis", pa.string()),
        ]
    )


def quarantined_schema() -> pa.Schema:
    """`answers/quarantined.parquet`: prompts whose answers can't teach, and why.

    `raw` is the text as received, cut to 2,000 characters; `cost` in US dollars.
    """
    import pyarrow as pa

    return pa.schema(
        [
            *prompt_schema(),
            *((name, pa.string()) for name in ("status", "reason", "raw", "model")),
            ("cost", pa.float64()),
        ]
    )
