"""What a task is: how a prompt is put to a teacher, how its answer is read, when two answers agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tutelage.records import AnswerStatus, Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an answer's text was read as. `value` is None unless `status` is OK; `reason` says why."""

    status: AnswerStatus
    value: Value | None
    reason: str = ""
    rationale: str = ""


class RationaleMode(StrEnum):
    """Where a teacher's reasons stand. Before the answer they can shape it; after, only explain it."""

    NONE = "none"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt's text with the answer that a human gave, shown to a teacher."""

    text: str
    value: Value


@dataclass(frozen=True, slots=True)
class Prompting:
    """How a prompted teacher is asked: with which examples, and whether for reasons."""

    examples: tuple[Example, ...] = ()
    rationale: RationaleMode = RationaleMode.NONE


PLAIN = Prompting()  # no examples, no reasons


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two values agree: `agree` by the task's rules, `score` in [0, 1], also by field."""

    agree: bool
    score: float
    fields: Mapping[str, float] = field(default_factory=dict)


class CellFault(ValueError):
    """What is wrong with a source's cell: `kind` for counting, the message for whoever mends it."""

    def __init__(self, kind: CellFaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CellFaultKind(StrEnum):
    """Ways in which a cell may hold no value of the task."""

    NOT_TEXT = "not_text"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    OUT_OF_SET = "out_of_set"
    MISFIT = "misfit"


@runtime_checkable
class Task(Protocol):
    """The behaviour to transfer. Frozen; `version` changes with all that shapes an answer."""

    @property
    def prompting(self) -> Prompting:
        """How a prompted teacher is asked."""
        ...

    def with_prompting(self, prompting: Prompting, instruction: str | None = None) -> Task:
        """The same task asked otherwise; `instruction` in place of its own where given."""
        ...

    @property
    def kind(self) -> str:
        """`classify`, `extract`, `judge` or `generate`."""
        ...

    @property
    def version(self) -> str:
        """A hash of all that shapes an answer: part of the key under which answers are kept."""
        ...

    @property
    def comparing(self) -> str:
        """How answers are compared, where that is configured: no part of what is asked, and so of `version`.

        What is made of several answers follows from it.
        """
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The values there can be, in the order of every distribution; empty where values are open."""
        ...

    @property
    def multi_label(self) -> bool:
        """Whether a value is a tuple of labels."""
        ...

    def render(self, text: str) -> list[dict[str, str]]:
        """Chat messages that ask for the answer to `text`; what never changes stands first."""
        ...

    def json_schema(self) -> dict[str, Any] | None:
        """The JSON schema of an answer; None where it is free text."""
        ...

    @property
    def strict(self) -> bool:
        """Whether providers' strict modes take `json_schema`: all closed and required, no conditions."""
        ...

    def parse(self, raw: str) -> Parsed:
        """Read an answer's text. Nothing is coerced."""
        ...

    def answer_text(self, value: Value, rationale: str = "") -> str:
        """The text that `parse` reads as `value`; `rationale` stands in it where reasons are asked for."""
        ...

    def admit(self, value: Any) -> Parsed:
        """Hold a value that came otherwise than as text (a plugin's, a person's) to the task."""
        ...

    def read_cell(self, cell: Any, separator: str) -> Value:
        """A value from a source's cell. Raises CellFault, a ValueError, with what is wrong with it."""
        ...

    def compare(self, answer: Value, reference: Value) -> Comparison:
        """How far an answer agrees with a reference."""
        ...

    def vote(self, values: Sequence[Value]) -> tuple[Value, npt.NDArray[np.float32] | None]:
        """One value for several samples of a prompt, and their distribution over `labels` where it has any.

        Where values are open it is the sample that agrees most with the others; ties go to the earlier.
        """
        ...

    def score(self, answers: Sequence[Value | None], references: Sequence[Value]) -> dict[str, float]:
        """The task's metrics of answers (None: no usable one, which is wrong) against references.

        Of every task `n`, how many references there are, and `accuracy`, the share of answers that agree, so
        that `accuracy * n` of `n` gives an interval. Empty for no references.
        """
        ...

    def label_text(self, label: str) -> str:
        """A label as it stands in an answer's JSON: `\"refund\"`, or a score's digits."""
        ...

    @property
    def answer_key(self) -> str:
        """The key of the answer's JSON object under which the label stands; empty where none does."""
        ...


@runtime_checkable
class LabelTask(Task, Protocol):
    """A task whose values are labels of a fixed set (`classify`, `judge`), which label students learn."""

    @property
    def descriptions(self) -> Mapping[str, str] | None:
        """What labels mean, of those that say so."""
        ...

    @property
    def out_of_scope(self) -> str | None:
        """The label for whatever is none of the task's business."""
        ...

    def value_of(self, names: Sequence[str]) -> Value:
        """Label names as a value: the label, or with several allowed their sorted tuple."""
        ...

    def names_of(self, value: Value) -> tuple[str, ...]:
        """The inverse of `value_of`."""
        ...

    def encode(self, values: Sequence[Value]) -> npt.NDArray[np.float32]:
        """Values as indicator rows: float32 [n, labels], 1 where a label is given."""
        ...

    def decide(self, distributions: npt.NDArray[np.float32]) -> list[Value]:
        """Distributions [n, labels] as values: the most probable label, or all from one half up."""
        ...


def with_labels(task: Task) -> LabelTask | None:
    """The task, where its values are labels; None where they are open."""
    return task if isinstance(task, LabelTask) else None
