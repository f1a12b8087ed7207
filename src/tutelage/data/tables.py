"""Prompts, gold and rejections as Arrow tables, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from tutelage.records import (
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


def _prompt_row(prompt: Prompt) -> dict[str, str]:
    return {
        "id": prompt.id,
        "text": prompt.text,
        "source": prompt.source,
        "slice": prompt.slice,
        "hash": prompt.hash,
    }


def prompts_to_table(prompts: Sequence[Prompt]) -> pa.Table:
    """By `records.prompt_schema`."""
    import pyarrow as pa

    return pa.Table.from_pylist([_prompt_row(prompt) for prompt in prompts], schema=prompt_schema())


def prompts_from_table(table: pa.Table) -> list[Prompt]:
    """The inverse of `prompts_to_table`; further columns are passed over."""
    return [Prompt(row["id"], row["text"], row["source"], row["slice"]) for row in table.to_pylist()]


def gold_to_table(examples: Sequence[Gold]) -> pa.Table:
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
