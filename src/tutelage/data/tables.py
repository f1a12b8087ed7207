"""Prompts, gold and rejections as Arrow tables, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from sys import intern
from typing import TYPE_CHECKING, Any

from tutelage.records import (
    PROMPT_COLUMNS,
    AnyGold,
    Gold,
    Prompt,
    Rejection,
    dump_value,
    gold_schema,
    load_value,
    prompt_schema,
    rejection_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 65_536  # rows whose values are in memory twice while they are read


def _prompt_row(prompt: Prompt) -> dict[str, Any]:
    return {name: getattr(prompt, name) for name in PROMPT_COLUMNS}


def prompts_to_table(prompts: Sequence[Prompt]) -> pa.Table:
    """By `records.prompt_schema`."""
    import pyarrow as pa

    return pa.Table.from_pylist([_prompt_row(prompt) for prompt in prompts], schema=prompt_schema())


def prompts_from_table(table: pa.Table) -> list[Prompt]:
    """The inverse of `prompts_to_table`; further columns are passed over.

    A table of old has no groups, subjects, times and classes of sensitivity.
    """
    prompts: list[Prompt] = []
    for batch in table.to_batches(max_chunksize=_BATCH):

        def column(name: str, batch: pa.RecordBatch = batch) -> list[Any]:
            there = name in batch.schema.names
            return batch[name].to_pylist() if there else [None] * batch.num_rows

        columns = [column(name) for name in PROMPT_COLUMNS if name != "hash"]
        prompts += [
            Prompt(
                *(id_, text, intern(source), intern(slice_), 0, group or "", intern(subject or ""), time),
                intern(sensitivity or ""),
            )
            for id_, text, source, slice_, group, subject, time, sensitivity in zip(*columns, strict=True)
        ]
    return prompts


def gold_to_table(examples: Sequence[AnyGold]) -> pa.Table:
    """By `records.gold_schema`."""
    import pyarrow as pa

    rows = [_prompt_row(item.prompt) | {"value": dump_value(item.value)} for item in examples]
    return pa.Table.from_pylist(rows, schema=gold_schema())


def gold_from_table(table: pa.Table) -> list[Gold]:
    """The inverse of `gold_to_table`."""
    values = [load_value(value) for value in table.column("value").to_pylist()]
    return [Gold(prompt, value) for prompt, value in zip(prompts_from_table(table), values, strict=True)]


def rejections_to_table(rejections: Sequence[Rejection]) -> pa.Table:
    """By `records.rejection_schema`."""
    import pyarrow as pa

    return pa.Table.from_pylist([asdict(item) for item in rejections], schema=rejection_schema())
