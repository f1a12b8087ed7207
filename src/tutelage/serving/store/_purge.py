"""Removing captures so that the file keeps nothing of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from tutelage.errors import DataError, UsageError
from tutelage.serving.captures import first_id
from tutelage.serving.store._database import Database
from tutelage.serving.store._reviews import forget
from tutelage.serving.store._tables import CAPTURES, CLAIMS, REVIEWS, VERDICTS

_AT_ONCE = 1_000  # captures of one transaction: writers get their turn between two
_PATIENCE = 10.0  # seconds in which readers may end that still see the old content


def purge(database: Database, *, before: float | None, keys: Collection[str] | None) -> int:
    """See `Store.purge`. With both, captures that fit both."""
    if before is None and keys is None:
        raise UsageError("a purge needs a time or a key. Mend: name one; all is never removed unasked")
    removed = 0
    for some in [None] if keys is None else batched(sorted(keys)):
        removed += _remove(database, before, some)
    if removed:
        _clean(database)
    return removed


def batched(keys: Sequence[str]) -> list[Sequence[str]]:
    """So many keys as one statement takes."""
    return [keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)]


def _remove(database: Database, before: float | None, keys: Sequence[str] | None) -> int:
    chosen = sa.select(CAPTURES.c.id).limit(_AT_ONCE)
    if before is not None:
        chosen = chosen.where(CAPTURES.c.id < first_id(before))
    if keys is not None:
        chosen = chosen.where(CAPTURES.c.key.in_(keys))
    removed = 0
    while True:
        with database.writing() as connection:
            gone = connection.execute(chosen).scalars().all()
            forget(connection, gone)
            connection.execute(sa.delete(CAPTURES).where(CAPTURES.c.id.in_(gone)))
        removed += len(gone)
        if len(gone) < _AT_ONCE:
            return removed


def _clean(database: Database) -> None:
    if not database.is_sqlite:
        tables = (CAPTURES, REVIEWS, CLAIMS, VERDICTS)
        database.outside_transactions(f"VACUUM FULL {table.name}" for table in tables)
        return
    # Deleted rows are overwritten (secure_delete), but where rows were moved about, a page keeps a copy of
    # one now and then; so the file is written anew, and the log that held all of it is cut off.
    database.outside_transactions(["VACUUM"])
    until = time.monotonic() + _PATIENCE
    while True:
        checkpoint = database.outside_transactions(["PRAGMA wal_checkpoint(TRUNCATE)"])[0]
        if checkpoint is not None and not checkpoint[0]:
            return
        if time.monotonic() > until:
            raise DataError(
                f"{database.path}-wal still holds what was purged, since a reader keeps it open. "
                "Mend: end what reads the file, then purge again"
            )
        time.sleep(0.05)
