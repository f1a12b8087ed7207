"""Answers as tables: `answers/transfer.parquet`, `answers/gold.parquet`, `answers/quarantined.parquet`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tutelage.errors import IntegrityError
from tutelage.labelling._ledger_columns import AT_ONCE, RAW_START
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.records import (
    PROMPT_COLUMNS,
    AnswerStatus,
    DistributionOrigin,
    Prompt,
    Value,
    answered_schema,
    dump_value,
    in_parts,
    load_value,
    quarantined_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from tutelage.tasks import Task

_PROMPT = tuple(name for name in PROMPT_COLUMNS if name != "hash")


def export_answers(
    prompts: Collection[Prompt],
    ledger: AnswerLedger,
    key: LedgerKey,
    task: Task,
    gold_values: Mapping[str, Value],
    corrections: Mapping[str, Value] | None = None,
) -> pa.Table:
    """Prompts that have an answer under `key`, in their order, as `records.answered_schema`.

    Answers that can't teach are rows too, with their status and no value. `gold_values` maps a prompt's
    hash (looked up first) or id to its human value; empty where none may be learned from. `corrections` maps
    hashes to what a person said of the teacher's answer. Where that differs it is the row's value, of origin
    `human`, without the teacher's distribution and rationale, and `teacher_value` keeps what the teacher
    said (null where it had no usable answer); the ledger stays as it is.

    Raises IntegrityError where a kept distribution doesn't fit the task's labels.
    """
    import pyarrow as pa

    batches = export_batches(prompts, ledger, key, task, gold_values, corrections)
    return pa.Table.from_batches(batches, answered_schema())


def export_batches(
    prompts: Collection[Prompt],
    ledger: AnswerLedger,
    key: LedgerKey,
    task: Task,
    gold_values: Mapping[str, Value],
    corrections: Mapping[str, Value] | None = None,
) -> Iterator[pa.RecordBatch]:
    """`export_answers` in parts of `AT_ONCE` prompts, so that no more than one need be in memory."""
    answered = ledger.read_parts(key, (prompt.hash for prompt in prompts), AT_ONCE)
    for part, (has_one, table) in zip(in_parts(prompts, AT_ONCE), answered, strict=True):
        if table.num_rows:
            kept = list(compress(part, has_one.tolist()))
            [answers] = table.to_batches()
            yield _answered(kept, answers, len(task.labels), gold_values, corrections or {})


def _answered(
    prompts: Sequence[Prompt],
    answers: pa.RecordBatch,
    labels: int,
    gold_values: Mapping[str, Value],
    corrections: Mapping[str, Value],
) -> pa.RecordBatch:
    import pyarrow as pa

    _require_fitting(prompts, answers["distribution"], labels)
    schema = answered_schema()
    columns = {name: answers[name] for name in answers.schema.names}
    for name in _PROMPT:
        columns[name] = pa.array(map(attrgetter(name), prompts), schema.field(name).type)
    columns["gold"] = columns["teacher_value"] = pa.nulls(len(prompts), pa.string())
    if gold_values:
        hashes = answers["hash"].to_pylist()
        gold = [
            gold_values.get(hash_, gold_values.get(prompt.id))
            for hash_, prompt in zip(hashes, prompts, strict=True)
        ]
        columns["gold"] = _column(None if value is None else dump_value(value) for value in gold)
    columns |= _corrected(answers, corrections)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _column(texts: Iterable[str | None]) -> pa.Array:
    import pyarrow as pa

    return pa.array(texts, pa.string())


def _corrected(answers: pa.RecordBatch, corrections: Mapping[str, Value]) -> dict[str, Any]:
    """The columns that corrections change; none where no correction differs from its answer."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not corrections:
        return {}
    said = [corrections.get(hash_) for hash_ in answers["hash"].to_pylist()]
    differs = [
        value is not None and (before is None or load_value(before) != value)
        for value, before in zip(said, answers["value"].to_pylist(), strict=True)
    ]
    if not any(differs):
        return {}
    mask = pa.array(differs)
    replaced = {
        "status": pa.scalar(str(AnswerStatus.OK)),
        "value": _column(None if value is None else dump_value(value) for value in said),
        "distribution": pa.scalar(None, answers["distribution"].type),
        "origin": pa.scalar(str(DistributionOrigin.HUMAN)),
        "rationale": pa.scalar(""),
    }
    columns = {name: pc.if_else(mask, new, answers[name]) for name, new in replaced.items()}
    columns["teacher_value"] = pc.if_else(mask, answers["value"], pa.scalar(None, pa.string()))
    return columns


def _require_fitting(prompts: Sequence[Prompt], distributions: pa.ListArray, labels: int) -> None:
    """Each distribution has an entry a label; where the task's values are open there is none to have."""
    import pyarrow.compute as pc

    lengths = pc.list_value_length(distributions)
    if not pc.any(pc.not_equal(lengths, labels)).as_py():
        return
    position, length = next(
        (index, length)
        for index, length in enumerate(lengths.to_pylist())
        if length is not None and length != labels
    )
    raise IntegrityError(
        f"the answer ledger's distribution for prompt {prompts[position].id!r} has {length} entries, and the "
        f"task has {labels} labels. Mend: restore the ledger from a backup"
    )


def export_quarantined(prompts: Iterable[Prompt], ledger: AnswerLedger, key: LedgerKey) -> Iterator[pa.Table]:
    """Prompts whose answer under `key` can't teach, in their order, as `records.quarantined_schema`.

    In parts, of `AT_ONCE` prompts each, so that no more than one need be in memory.
    """
    for part in in_parts(prompts, AT_ONCE):
        yield _quarantined(part, ledger, key)


def _quarantined(prompts: Sequence[Prompt], ledger: AnswerLedger, key: LedgerKey) -> pa.Table:
    import pyarrow as pa

    told = ("hash", "status", "reason", "raw_start", "model", "cost")
    hashes = [prompt.hash for prompt in prompts]
    table = ledger.read_answers(key, told, hashes, without=AnswerStatus.OK)
    answers = {row["hash"]: row for row in table.to_pylist()}
    rows = [
        {
            **answers[hash_],
            **{name: getattr(prompt, name) for name in _PROMPT},
            "raw": answers[hash_]["raw_start"].decode("utf-8", "ignore")[:RAW_START],
        }
        for prompt, hash_ in zip(prompts, hashes, strict=True)
        if hash_ in answers
    ]
    return pa.Table.from_pylist(rows, quarantined_schema())
