"""Rows of the answer ledger as Arrow columns, without an object for each answer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tutelage.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from tutelage.labelling._ledger_rows import LedgerKey

AT_ONCE = 50_000  # rows that are Python objects at a time
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
    # The first bytes alone, as they are: a text's substr would end at a NUL, an empty blob's is null.
    "raw_start": f"coalesce(substr(CAST(raw AS BLOB), 1, {4 * RAW_START}), x'')",
}
COLUMNS = tuple(_SQL)
EXPORTED = ("hash", "status", "value", "distribution", "origin", "cost", "rationale", "repeatability")


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
    """The answers under a key as record batches of at most `AT_ONCE` rows, in no order that means anything.

    `hashes` (distinct) restricts them to those prompts, `without` leaves one status out.
    """
    import pyarrow as pa

    schema = schema_of(columns)
    for rows in _rows(database, key, [_SQL[name] for name in columns], hashes, without):
        arrays = [
            _array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _rows(
    database: sqlite3.Connection,
    key: LedgerKey,
    columns: Sequence[str],
    hashes: Sequence[str] | None,
    without: str | None,
) -> Iterator[list[Any]]:
    """Rows by look-ups in the index where prompts are given, else by a scan in the file's order."""
    where = "WHERE teacher=? AND revision=? AND task_version=?"
    parameters = [key.teacher, key.revision, key.task_version]
    if without is not None:
        where, parameters = f"{where} AND status <> ?", [*parameters, without]
    selected = f"SELECT {', '.join(columns)} FROM answers"
    if hashes is None:
        cursor = database.execute(f"{selected} NOT INDEXED {where}", parameters)
        while rows := cursor.fetchmany(AT_ONCE):
            yield rows
        return
    # One JSON text in place of a parameter a hash, of which SQLite takes a limited number.
    query = f"{selected} {where} AND prompt_hash IN (SELECT value FROM json_each(?))"
    for start in range(0, len(hashes), AT_ONCE):
        part = json.dumps(list(hashes[start : start + AT_ONCE]))
        if rows := database.execute(query, [*parameters, part]).fetchall():
            yield rows


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return _lists(values) if pa.types.is_list(kind) else pa.array(values, kind)


def _lists(blobs: Sequence[bytes | None]) -> pa.Array:
    """Distributions as they stand in the ledger, little-endian float32, as lists; None as null."""
    import numpy as np
    import pyarrow as pa

    missing = np.fromiter((blob is None for blob in blobs), bool, len(blobs))
    sizes = np.fromiter((len(blob or b"") // 4 for blob in blobs), np.int64, len(blobs))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    floats = np.frombuffer(b"".join(blob for blob in blobs if blob), "<f4").astype(np.float32, copy=False)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(floats), mask=pa.array(missing))
