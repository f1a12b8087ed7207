"""Removing captures so that the file keeps nothing of them."""

from __future__ import annotations

import sqlalchemy as sa

from tutelage.errors import UsageError
from tutelage.serving.captures import first_id
from tutelage.serving.store._database import Database
from tutelage.serving.store._tables import CAPTURES

_AT_ONCE = 1_000  # captures of one transaction: writers get their turn between two


def purge(database: Database, *, before: float | None, key: str | None) -> int:
    """See `Store.purge`. With both, captures that fit both."""
    if before is None and key is None:
        raise UsageError("a purge needs a time or a key. Mend: name one; all is never removed unasked")
    chosen = sa.select(CAPTURES.c.id).limit(_AT_ONCE)
    if before is not None:
        chosen = chosen.where(CAPTURES.c.id < first_id(before))
    if key is not None:
        chosen = chosen.where(CAPTURES.c.key == key)
    removed = 0
    while True:
        with database.writing() as connection:
            gone = connection.execute(sa.delete(CAPTURES).where(CAPTURES.c.id.in_(chosen))).rowcount
        removed += gone
        if gone < _AT_ONCE:
            break
    if removed:
        database.outside_transactions(_cleaning(database))
    return removed


def _cleaning(database: Database) -> list[str]:
    if database.is_sqlite:
        # Deleted rows are overwritten (secure_delete), but pages that were moved about keep copies.
        return ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"]
    return ["VACUUM FULL captures"]
