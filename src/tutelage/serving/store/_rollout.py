"""The rollout's history: only ever added to, each change bound to the one before by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields, replace

import sqlalchemy as sa

from tutelage.errors import IntegrityError, UsageError
from tutelage.serving.store._records import RolloutChange
from tutelage.serving.store._tables import ROLLOUT, plain

_ORIGIN = "0" * 64
_SIGNED = tuple(field.name for field in fields(RolloutChange) if field.name != "hash")


def append(connection: sa.Connection, change: RolloutChange, after: int | None) -> RolloutChange:
    """Add `change`; as it was recorded."""
    if connection.dialect.name == "postgresql":  # as SQLite does: who reads the head keeps others out
        connection.exec_driver_sql(f"LOCK TABLE {ROLLOUT.name} IN EXCLUSIVE MODE")
    head = latest(connection, 1)
    sequence, previous = (head[0].sequence, head[0].hash) if head else (0, _ORIGIN)
    if after is not None and after != sequence:
        raise UsageError(
            f"the rollout was changed meanwhile: its last change is number {sequence}, and this one was made "
            f"upon number {after}. Mend: look at the change, then try again"
        )
    evidence = json.loads(json.dumps(dict(change.evidence), default=str, allow_nan=False))
    unsigned = replace(
        change,
        # As they will be read again: the hash is of that.
        at=float(change.at),
        share=float(change.share),
        threshold=None if change.threshold is None else float(change.threshold),
        **{name: plain(getattr(change, name)) for name in ("actor", "stage", "revision", "reason")},
        evidence=evidence,
        sequence=sequence + 1,
        previous=previous,
    )
    signed = replace(unsigned, hash=_hash(unsigned))
    connection.execute(
        sa.insert(ROLLOUT), {field.name: getattr(signed, field.name) for field in fields(signed)}
    )
    return signed


def latest(connection: sa.Connection, limit: int) -> list[RolloutChange]:
    """The last changes, newest first."""
    query = sa.select(ROLLOUT).order_by(ROLLOUT.c.sequence.desc()).limit(limit)
    return [RolloutChange(**row) for row in connection.execute(query).mappings()]


def verify(changes: Sequence[RolloutChange]) -> int:
    """Check the whole history, oldest first; return how many changes it has.

    Raises IntegrityError naming the first that doesn't fit.
    """
    previous = _ORIGIN
    for number, change in enumerate(changes, start=1):
        if change.sequence != number or change.previous != previous or change.hash != _hash(change):
            raise IntegrityError(
                f"rollout change {number}: the chain is broken here, so this one or the one before was "
                "changed, removed or inserted. Mend: restore the state from a backup"
            )
        previous = change.hash
    return len(changes)


def _hash(change: RolloutChange) -> str:
    body = json.dumps([getattr(change, name) for name in _SIGNED], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(body.encode("utf-8", "backslashreplace")).hexdigest()
