"""Answers as tables: `answers/transfer.parquet` and `answers/gold.parquet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tutelage.errors import IntegrityError
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.records import Answer, Prompt, Value, answered_schema, dump_value

if TYPE_CHECKING:
    import pyarrow as pa

    from tutelage.tasks import Classify


def export_answers(
    prompts: Sequence[Prompt],
    ledger: AnswerLedger,
    key: LedgerKey,
    task: Classify,
    gold_values: Mapping[str, Value],
) -> pa.Table:
    """Prompts that have an answer under `key`, in their order, as `records.answered_schema`.

    Answers that can't teach are rows too, with their status and no value. `gold_values` maps a prompt's
    hash (looked up first) or id to its human value; empty where none may be learned from.

    Raises IntegrityError where a kept distribution doesn't fit the task's labels.
    """
    import pyarrow as pa

    answers = ledger.get_many(key, [prompt.hash for prompt in prompts])
    rows = [
        _row(prompt, answers[prompt.hash], len(task.labels), gold_values)
        for prompt in prompts
        if prompt.hash in answers
    ]
    schema = answered_schema()
    return pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)


def _row(prompt: Prompt, answer: Answer, labels: int, gold_values: Mapping[str, Value]) -> dict[str, Any]:
    distribution = answer.distribution
    if distribution is not None and distribution.shape != (labels,):
        raise IntegrityError(
            f"the answer ledger's distribution for prompt {prompt.id!r} has {distribution.size} entries, and "
            f"the task has {labels} labels. Mend: restore the ledger from a backup"
        )
    gold = gold_values.get(prompt.hash, gold_values.get(prompt.id))
    return {
        "id": prompt.id,
        "text": prompt.text,
        "source": prompt.source,
        "slice": prompt.slice,
        "hash": prompt.hash,
        "status": str(answer.status),
        "value": None if answer.value is None else dump_value(answer.value),
        "distribution": distribution,
        "origin": str(answer.origin),
        "cost": answer.usage.cost,
        "gold": None if gold is None else dump_value(gold),
        "rationale": answer.rationale,
        "repeatability": answer.repeatability,
        "teacher_value": None,
    }
