"""What `collect` left, some at a time: there may be more prompts than memory holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import compress
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.data import prompts_from_table
from tutelage.programme import Programme
from tutelage.records import Prompt, PromptStream, Rejection

if TYPE_CHECKING:
    from tutelage.data.sampling import Flags

_AT_ONCE = 8_192  # prompts that are objects at a time


def each_prompt(programme: Programme) -> Iterator[Prompt]:
    """All of them, in their order."""
    for table in storage.table_batches(programme.prompts, rows=_AT_ONCE):
        yield from prompts_from_table(table)


def every_prompt(programme: Programme) -> PromptStream:
    """All of them, in their order, read anew whenever they are gone through."""
    return PromptStream(lambda: each_prompt(programme), storage.count_rows(programme.prompts))


def each_rejection(programme: Programme) -> Iterator[Rejection]:
    """What `collect` didn't take, in its order."""
    for table in storage.table_batches(programme.prompts_rejected):
        yield from (Rejection(**row) for row in table.to_pylist())


def each_text(programme: Programme) -> Iterator[str]:
    """The text of each; nothing else of it is read."""
    for table in storage.table_batches(programme.prompts, ["text"]):
        yield from table["text"].to_pylist()


def hash_batches(programme: Programme) -> Iterator[list[str]]:
    """The hash of each, some at a time; nothing else of them is read."""
    for table in storage.table_batches(programme.prompts, ["hash"]):
        yield table["hash"].to_pylist()


def are_among(programme: Programme, hashes: Collection[str]) -> Flags:
    """Which of them have one of these hashes: bool [prompts]."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array(sorted(hashes), pa.string())
    found = [
        pc.is_in(table["hash"], value_set=known).to_numpy()
        for table in storage.table_batches(programme.prompts, ["hash"])
    ]
    return np.concatenate([np.empty(0, np.bool_), *found])


def prompts_with(programme: Programme, hashes: Collection[str]) -> list[Prompt]:
    """Those that have one of these hashes, in their order."""
    return prompts_where(programme, are_among(programme, hashes))


def prompts_where(programme: Programme, chosen: Flags) -> list[Prompt]:
    """Those of the rows that are `chosen`, bool [prompts], in their order."""
    return list(each_where(programme, chosen))


def each_where(programme: Programme, chosen: Flags) -> Iterator[Prompt]:
    """`prompts_where`, some at a time."""
    import pyarrow as pa

    begin = 0
    for table in storage.table_batches(programme.prompts, rows=_AT_ONCE):
        yield from prompts_from_table(table.filter(pa.array(chosen[begin : begin + table.num_rows])))
        begin += table.num_rows


def drawn_texts(programme: Programme, most: int, seed: int) -> list[str]:
    """So many texts, drawn at random by `seed`, in their order; all where there are no more."""
    import numpy as np

    count = storage.count_rows(programme.prompts)
    if count <= most:
        return list(each_text(programme))
    drawn = np.zeros(count, dtype=np.bool_)
    drawn[np.random.default_rng(seed).choice(count, most, replace=False)] = True
    return list(compress(each_text(programme), drawn))
