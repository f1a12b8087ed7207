"""Rows of the answer ledger as Arrow columns, without an object for each answer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tutelage.errors import IntegrityError, UsageError
from tutelage.records import in_parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tutelage.labelling._ledger_rows import LedgerKey

AT_ONCE = 50_000  # rows of a part, or a query
LOCATED = 1_000_000  # prompts whose answers are located at once
_FETCHED = 2_000  # rows that are Python objects at a time
RAW_START = 2_000  # characters, of at most 4 bytes, that `raw_start` holds for certain
# What can be read: the names in tables, and in the ledger.
_SQL = {
    "hash": "prompt_hash",
    "status": "status",
    "value": "value",
    "distribution": "distribution",
    "origin": "origin",
    "raw": "raw",
    "reason": "reason",
    "model": "model",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cost": "cost",
    "latency": "latency",
    "calls": "calls",
    "rationale": "rationale",
    "tokens": "tokens",
    "repeatability": "repeatability",
    "slice": "slice",
    "created": "created",
    "basis": "basis",
    # The first bytes alone, as they are: a text's substr would end at a NUL, an empty blob's is null.
    "raw_start": f"coalesce(substr(CAST(raw AS BLOB), 1, {4 * RAW_START}), x'')",
}
COLUMNS = tuple(_SQL)
_OF_KEY = "WHERE teacher=? AND revision=? AND task_version=?"
# One JSON text in place of a parameter a hash, of which SQLite takes a limited number.
_AMONG = "prompt_hash IN (SELECT value FROM json_each(?))"
EXPORTED = (
    "hash",
    "status",
    "value",
    "distribution",
    "origin",
    "cost",
    "rationale",
    "repeatability",
    "basis",
)


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """The Arrow schema of some of `COLUMNS`. Raises UsageError for a name that is none of them."""
    import pyarrow as pa

    if unknown := [name for name in columns if name not in _SQL]:
        raise UsageError(
            f"the answer ledger has no column {', '.join(map(repr, unknown))}. Mend: name some of "
            f"{', '.join(COLUMNS)}"
        )
    special = {
        "distribution": pa.list_(pa.float32()),
        **dict.fromkeys(("tokens", "raw_start"), pa.binary()),
        **dict.fromkeys(("input_tokens", "output_tokens", "calls"), pa.int64()),
        **dict.fromkeys(("cost", "latency", "repeatability"), pa.float64()),
    }
    return pa.schema([(name, special.get(name, pa.string())) for name in columns])


def read_columns(
    database: sqlite3.Connection,
    key: LedgerKey,
    columns: Sequence[str],
    hashes: Sequence[str] | None = None,
    without: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """The answers under a key as record batches of few rows, in no order that means anything.

    `hashes` (distinct) restricts them to those prompts, `without` leaves one status out.
    """
    schema = schema_of(columns)
    for cursor in _cursors(database, key, [_SQL[name] for name in columns], hashes, without):
        yield from _batches(cursor, schema)


def _batches(cursor: sqlite3.Cursor, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All rows of a cursor; few are Python objects at a time, and stay in the processor's cache."""
    import pyarrow as pa

    while rows := cursor.fetchmany(_FETCHED):
        columns = zip(*rows, strict=True)
        arrays = [_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _whole(cursor: sqlite3.Cursor, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(_batches(cursor, schema), schema).combine_chunks()


def locate(
    database: sqlite3.Connection, key: LedgerKey, hashes: Sequence[str], *, one_by_one: bool = False
) -> npt.NDArray[np.int64]:
    """Where in the file the answers to prompts stand: row ids, int64 [hashes], 0 where there is none.

    Of many prompts all of the key's index is read in its order, which is faster than a look-up for each, and
    holds all of it; not where they are to be looked up `one_by_one`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    query, parameters = f"SELECT prompt_hash, rowid FROM answers {_OF_KEY}", _key_values(key)
    schema = pa.schema([("hash", pa.string()), ("row", pa.int64())])
    if one_by_one or len(hashes) <= AT_ONCE:
        parts = [
            _whole(database.execute(f"{query} AND {_AMONG}", [*parameters, json.dumps(part)]), schema)
            for part in in_parts(sorted(hashes), AT_ONCE)  # neighbours stand on one page of the index
        ]
        found = pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()
    else:
        found = _whole(database.execute(query, parameters), schema)
    places = pc.index_in(pa.array(hashes, pa.string()), value_set=found["hash"])
    rows: npt.NDArray[np.int64] = found["row"].take(places).fill_null(0).to_numpy()
    return rows


def read_rows(database: sqlite3.Connection, columns: Sequence[str], rows: npt.NDArray[np.int64]) -> pa.Table:
    """The answers with these row ids, in their order, in one chunk; one may stand several times.

    They are fetched in the file's order, so that each of its pages is looked at once.
    """
    import numpy as np
    import pyarrow as pa

    in_order, places = np.unique(rows, return_inverse=True)
    found = database.execute(
        f"SELECT {', '.join(_SQL[name] for name in columns)} FROM answers "
        "WHERE rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid",
        [json.dumps(in_order.tolist())],
    )
    return _whole(found, schema_of(columns)).take(pa.array(places)).combine_chunks()


def _key_values(key: LedgerKey) -> list[str]:
    return [key.teacher, key.revision, key.task_version]


def _cursors(
    database: sqlite3.Connection,
    key: LedgerKey,
    columns: Sequence[str],
    hashes: Sequence[str] | None,
    without: str | None,
) -> Iterator[sqlite3.Cursor]:
    """Rows by look-ups in the index where prompts are given, else by a scan in the file's order."""
    where, parameters = _OF_KEY, _key_values(key)
    if without is not None:
        where, parameters = f"{where} AND status <> ?", [*parameters, without]
    selected = f"SELECT {', '.join(columns)} FROM answers"
    if hashes is None:
        yield database.execute(f"{selected} NOT INDEXED {where}", parameters)
        return
    for start in range(0, len(hashes), AT_ONCE):
        part = json.dumps(list(hashes[start : start + AT_ONCE]))
        yield database.execute(f"{selected} {where} AND {_AMONG}", [*parameters, part])


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return _lists(values) if pa.types.is_list(kind) else pa.array(values, kind)


def _lists(blobs: Sequence[bytes | None]) -> pa.Array:
    """Distributions as they stand in the ledger, little-endian float32, as lists; None as null."""
    import numpy as np
    import pyarrow as pa

    given = pa.array(blobs, pa.binary())
    _, ends, content = given.buffers()
    offsets = np.frombuffer(ends, np.int32, len(blobs) + 1)
    if (offsets % 4).any():
        raise IntegrityError(
            "a distribution in the answer ledger is no row of numbers of 4 bytes. Mend: restore the ledger "
            "from a backup"
        )
    floats = np.frombuffer(content or b"", "<f4", offsets[-1] // 4).astype(np.float32, copy=False)
    return pa.ListArray.from_arrays(pa.array(offsets // 4), pa.array(floats), mask=given.is_null())
