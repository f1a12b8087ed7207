"""Erasing a person's answers from the ledger, so that what they cost stays accounted for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from tutelage.data.erasure import Traces
from tutelage.data.erasure.databases import ask
from tutelage.errors import UsageError
from tutelage.labelling._ledger_rows import AttemptState, BatchState

_OPEN = (BatchState.PLANNED, BatchState.SUBMITTED)
_THEIRS = (
    "prompt_hash IN (SELECT value FROM json_each(?)) OR traced(value) OR traced(raw) OR traced(rationale) "
    "OR traced(reason)"
)


def erase_answers(database: sqlite3.Connection, traces: Traces) -> int:
    """Erase answers, kept replies and what batches tell of prompts; how many answers there were.

    What they cost is booked as that of calls without an answer, by teacher and day, so that sums and budget
    stay as they were. To be called inside a transaction. Raises UsageError while one waits in a provider's
    batch, whose order is needed to read its results.
    """
    ask(database, traces)
    hashes = json.dumps(sorted(traces.hashes))
    for batch, kept in list(_batches_without(database, traces)):
        database.execute("UPDATE batches SET prompt_hashes=? WHERE id=?", (kept, batch))
    database.execute(
        "INSERT INTO attempts (teacher, revision, bound, state, created, cost, unaccounted) "
        "SELECT teacher, revision, 0, ?, substr(created, 1, 10), total(cost), 0 FROM answers "
        f"WHERE {_THEIRS} GROUP BY teacher, revision, substr(created, 1, 10) HAVING total(cost) > 0",
        (AttemptState.FAILED, hashes),
    )
    database.execute(
        "DELETE FROM replies WHERE prompt_hash IN (SELECT value FROM json_each(?)) OR traced(reply)",
        (hashes,),
    )
    return database.execute(f"DELETE FROM answers WHERE {_THEIRS}", (hashes,)).rowcount


def _batches_without(database: sqlite3.Connection, traces: Traces) -> Iterator[tuple[int, str]]:
    """Batches that name a prompt of theirs, each with the hashes that it keeps, in their places."""
    for batch, state, content in database.execute("SELECT id, state, prompt_hashes FROM batches"):
        hashes = json.loads(content)
        kept = ["" if hash_ in traces.hashes else hash_ for hash_ in hashes]
        if kept == hashes:
            continue
        if state in _OPEN:
            raise UsageError(
                f"a provider's batch (number {batch}) is being answered, and a prompt to be purged is in it. "
                "Mend: run `tutelage label` until it is in, or with --cancel-batches; then purge again"
            )
        yield batch, json.dumps(kept)
