"""What stands in the answer ledger's rows, as value objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Usage, dump_value, load_value

if TYPE_CHECKING:
    from tutelage.records import Distribution
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher

ANSWER_COLUMNS = (
    "status, value, distribution, origin, raw, reason, model, "
    "input_tokens, output_tokens, cost, latency, calls, rationale, tokens, repeatability"
)
BATCH_COLUMNS = "id, teacher, tag, remote, state, prompt_hashes, bound, created, updated"


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """What an answer depends on beside its prompt."""

    teacher: str
    revision: str
    task_version: str

    @classmethod
    def of(cls, teacher: Teacher, task: Task) -> LedgerKey:
        """The key of a teacher's answers to a task."""
        return cls(teacher.name, teacher.revision, task.version)


class AttemptState(StrEnum):
    """What became of a call that may cost money. Files of version 1 hold older names of `FAILED` too."""

    OPEN = "open"
    ANSWERED = "answered"
    FAILED = "failed"


class BatchState(StrEnum):
    """How far a provider's batch is. `PLANNED` and `SUBMITTED` are open: their bound counts as spent.

    `FORGOTTEN` is one that the provider had no longer when it was to be collected.
    """

    PLANNED = "planned"
    SUBMITTED = "submitted"
    ENDED = "ended"
    FAILED = "failed"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class ProviderBatch:
    """A provider's batch, of `open_batches` one that has not come back.

    `tag` is ours and goes to the provider with the batch, so that one whose submission was interrupted is
    found again; `remote` is the provider's name for it, None until it is known. `bound` in US dollars is the
    most it can cost; `created` and `updated` are ISO times in UTC.
    """

    id: int
    teacher: str
    tag: str
    remote: str | None
    state: BatchState
    prompt_hashes: tuple[str, ...]
    bound: float
    created: str
    updated: str


@dataclass(frozen=True, slots=True)
class TeacherSummary:
    """What the ledger holds of one teacher, over all its revisions.

    `cost` in US dollars as accounted by answers and by calls and batches that brought none; `unaccounted` is
    the upper bound of requests without an account; `attempts` counts the calls that might have cost money.
    `repeatability` is the mean over the answers that have one, None where none has; `models` counts answers
    by the model's name that came with them.
    """

    teacher: str
    answers: int
    by_status: dict[str, int]
    cost: float
    unaccounted: float
    input_tokens: int
    output_tokens: int
    calls: int
    attempts: int
    repeatability: float | None
    models: dict[str, int]

    @property
    def spent(self) -> float:
        """US dollars that count as spent: `cost` and `unaccounted`."""
        return self.cost + self.unaccounted


@dataclass(frozen=True, slots=True)
class SpendLine:
    """What was spent on one group of answers, such as a teacher's of one day.

    `by` names the group. Its `day` is UTC. Its `slice` is that of the prompt when it was answered: empty for
    answers recorded before slices were kept, None for calls and batches that brought no answer. Money in US
    dollars: `cost` is accounted, `unaccounted` the upper bound of requests without an account.
    """

    by: Mapping[str, str | None]
    answers: int
    cost: float
    unaccounted: float
    input_tokens: int
    output_tokens: int
    calls: int

    @property
    def spent(self) -> float:
        """US dollars that count as spent: `cost` and `unaccounted`."""
        return self.cost + self.unaccounted


def row_of(answer: Answer) -> tuple[Any, ...]:
    """An answer as `ANSWER_COLUMNS`."""
    usage = answer.usage
    return (
        answer.status,
        None if answer.value is None else dump_value(answer.value),
        None if answer.distribution is None else answer.distribution.astype("<f4").tobytes(),
        answer.origin,
        answer.raw,
        answer.reason,
        answer.model,
        usage.input_tokens,
        usage.output_tokens,
        usage.cost,
        usage.latency,
        usage.calls,
        answer.rationale,
        answer.tokens or None,
        answer.repeatability,
    )


def answer_of(row: Sequence[Any]) -> Answer:
    """The inverse of `row_of`."""
    status, value, distribution, origin, raw, reason, model, *usage, rationale, tokens, repeatability = row
    return Answer(
        status=AnswerStatus(status),
        value=None if value is None else load_value(value),
        distribution=None if distribution is None else _distribution_of(distribution),
        origin=DistributionOrigin(origin),
        raw=raw,
        reason=reason,
        model=model,
        usage=Usage(*usage),
        rationale=rationale,
        tokens=tokens or b"",
        repeatability=repeatability,
    )


def _distribution_of(blob: bytes) -> Distribution:
    import numpy as np

    return np.frombuffer(blob, dtype="<f4").astype(np.float32)


def batch_of(row: Sequence[Any]) -> ProviderBatch:
    """A batch from `BATCH_COLUMNS`."""
    number, teacher, tag, remote, state, hashes, bound, created, updated = row
    return ProviderBatch(
        number, teacher, tag, remote, BatchState(state), tuple(json.loads(hashes)), bound, created, updated
    )
