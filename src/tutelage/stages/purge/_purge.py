"""See the package."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.data import GoldSet, make_seal, read_calibration, to_be_sealed, verify_seal
from tutelage.data.erasure import Traces, holds
from tutelage.data.forgotten import Forgotten
from tutelage.data.tables import gold_from_table
from tutelage.errors import UsageError
from tutelage.extras import require_extra
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import Rejection
from tutelage.stages.collect import settle_collected
from tutelage.stages.keeping import captures_kept, retention_of
from tutelage.stages.lifecycle import STAGES
from tutelage.stages.purge._gathering import gather, gather_expired, known_as, subject_columns
from tutelage.stages.purge._made import forget_pseudonyms, own_words, remove_made
from tutelage.stages.purge._rows import Eraser, files_of, is_made
from tutelage.stages.purge._underway import Underway
from tutelage.stages.serve import open_programme_store

if TYPE_CHECKING:
    from tutelage.serving.store import Store

_DAY = 86_400.0


@dataclass(frozen=True)
class Purged:
    """What a purge did. `rows`: erased ones by file; `captures`: those of servers.

    `removed`: files and folders that were made of these rows. `students`: those that learned from them, each
    with how many rows, None where the transfer set it learned from isn't there any more. `left`: files that
    still hold a text or a key, which nothing here may change.
    """

    rows: Mapping[str, int]
    captures: int
    removed: Sequence[str]
    students: Mapping[str, int | None]
    left: Sequence[str]


def purge_subjects(programme: Programme, subjects: Collection[str], progress: Progress) -> Purged:
    """Remove all that is of these subjects, as sources and servers name them.

    The programme has to be locked. One that was stopped is finished by the next, of whomever. Raises
    UsageError for an empty name and while an answer to them is waited for in a provider's batch, DataError
    where a file of the folder can't be written.
    """
    named = frozenset(one.strip() for one in subjects)
    if not named or "" in named:
        raise UsageError(
            "a purge needs a subject's key, and one is empty. Mend: --subject KEY, as the source has it"
        )
    _prepare(programme)
    store = _store(programme)
    try:
        found = gather(programme, known_as(programme, named), store, progress)
        underway = Underway.begun(programme, found)
        traces = underway.traces
        captures = 0 if store is None else store.purge(keys=traces.keys | traces.hashes)
    finally:
        if store is not None:
            asyncio.run(store.close())
    forgotten = (Forgotten.read(programme.forgotten) or Forgotten()).adding(
        traces.keys, traces.texts, time.time()
    )
    forgotten.write(programme.forgotten)
    return _purge(programme, underway, forgotten, captures, progress)


def purge_expired(programme: Programme, progress: Progress) -> Purged:
    """Remove what is older than `retention` allows its class, captures included. Raises as `purge_subjects`.

    Raises UsageError where there is no limit.
    """
    retention, kept = retention_of(programme), captures_kept(programme)
    if retention is None and kept is None:
        raise UsageError(
            "nothing expires: retention has no limit. Mend: set one, e.g. `retention: {personal: 90d}`"
        )
    _prepare(programme)
    captures = 0
    store = None if kept is None else _store(programme)
    if store is not None and kept is not None:
        try:
            captures = store.purge(before=time.time() - kept * _DAY)
        finally:
            asyncio.run(store.close())
    expired = Traces() if retention is None else gather_expired(programme, retention, progress)
    underway = Underway.begun(programme, expired)
    forgotten = Forgotten.read(programme.forgotten) or Forgotten()
    return _purge(programme, underway, forgotten, captures, progress)


def _purge(
    programme: Programme, underway: Underway, forgotten: Forgotten, captures: int, progress: Progress
) -> Purged:
    """Erase the traces and what was made of them, amend what stages left, look again, journal."""
    traces = underway.traces
    rows = _erase_rows(programme, traces, forgotten, progress) if traces else {}
    made = {path: count for path, count in rows.items() if is_made(programme, programme.folder / path)}
    if forgot := forget_pseudonyms(programme, traces.texts):
        rows[_name(programme, programme.pseudonyms)] = forgot
    removed: list[str] = []
    if made or underway.goes_on:
        words = own_words(programme, traces.texts)
        of_gold = underway.goes_on or any(path.startswith("gold/") for path in made)
        removed = remove_made(programme, traces, words, gold=of_gold)
    _seal_anew(programme, rows, goes_on=underway.goes_on)
    for stage in STAGES:
        there = stage.name in underway.current and all(path.exists() for path in stage.outputs(programme))
        if there and stage.reason_to_run(programme) is not None:
            stage.amend(programme, "rows were purged")
    students = _students(programme, underway, rows, made)
    purged = Purged(rows, captures, removed, students, _left(programme, traces, progress) if traces else [])
    subjects = sorted(map(forgotten.digest, traces.keys))
    programme.journal.append(
        "purged", by="subject" if subjects else "age", subjects=subjects, **asdict(purged)
    )
    programme.purging.unlink(missing_ok=True)
    return purged


def _students(
    programme: Programme, underway: Underway, rows: Mapping[str, int], made: Mapping[str, int]
) -> dict[str, int | None]:
    """Those that learned from the rows, or may have: see `Purged.students`."""
    taught = rows.get(_name(programme, programme.transfer), 0)
    if underway.goes_on:  # how many went before it was stopped isn't known
        return dict.fromkeys(underway.learned)
    return {
        run: taught if same else None
        for run, same in underway.learned.items()
        if taught or (made and not same)
    }


def _prepare(programme: Programme) -> None:
    """Settle what was half written. Raises MissingExtraError where tables couldn't be read here.

    Raises IntegrityError where gold isn't as it was sealed, which sealing it anew would hide.
    """
    if any(programme.folder.rglob("*.parquet")):
        require_extra("programme", "`tutelage purge`")
    settle_collected(programme)
    if programme.seal.exists() and not programme.purging.exists():
        verify_seal(programme.sealed, programme.seal)
        read_calibration(programme.gold_calibration, programme.seal)


def _store(programme: Programme) -> Store | None:
    if programme.config.serving.database is None and not programme.server_state.exists():
        return None
    return open_programme_store(programme)


def _name(programme: Programme, path: Path) -> str:
    return path.relative_to(programme.folder).as_posix()


def _erase_rows(
    programme: Programme, traces: Traces, forgotten: Forgotten, progress: Progress
) -> dict[str, int]:
    """How many went, by file; files of which none did aren't named."""
    renamed = {key: f"group-{forgotten.digest(key)[:16]}" for key in traces.keys}
    eraser = Eraser(programme, traces, subject_columns(programme), renamed)
    files = list(files_of(programme))
    erased: dict[str, int] = {}
    with progress.track("erased", len(files), "file") as tracker:
        for path in files:
            if count := eraser.erase(path):
                erased[_name(programme, path)] = count
            tracker.advance()
    return erased


def _seal_anew(programme: Programme, rows: Mapping[str, int], *, goes_on: bool) -> None:
    """Gold that lost rows is sealed as it is now. The seal before is kept, and the journal says why.

    `goes_on`: it may have lost them before the purge was stopped.
    """
    parts = [programme.sealed, programme.gold_training, programme.gold_calibration]
    gone = {path.stem: rows[_name(programme, path)] for path in parts if _name(programme, path) in rows}
    if not (gone or goes_on) or not programme.seal.exists():
        return
    before = storage.read_json(programme.seal)
    sealed, training, calibration = (
        gold_from_table(storage.read_table(path)) if path.exists() else [] for path in parts
    )
    rejected = [Rejection(**row) for row in storage.read_table(programme.gold_rejected).to_pylist()]
    gold = GoldSet(to_be_sealed(sealed), training, rejected, calibration)
    tested = programme.gold_calibration if programme.config.gold.calibration is not None else None
    seal = make_seal(gold, before["labels"], programme.config.gold, programme.sealed, tested)
    if not gone and all(seal.get(key) == before.get(key) for key in ("hash", "training_n", "calibration")):
        return
    storage.write_json(programme.retired_seals / f"{before['hash']}.json", before)
    seal["earlier_seals"] = len(list(programme.retired_seals.glob("*.json")))
    storage.write_json(programme.seal, seal)
    journal = programme.journal
    journal.append(
        "unsealed", hash=before["hash"], n=before["n"], sealed=before["created"], reason="purge", rows=gone
    )
    journal.append("sealed", hash=seal["hash"], n=seal["n"], earlier_seals=seal["earlier_seals"])


def _left(programme: Programme, traces: Traces, progress: Progress) -> list[str]:
    """Files that hold a key or a text after all, read from their first byte to their last."""
    files = [path for path in files_of(programme) if path != programme.purging]
    found = []
    with progress.track("looked through", len(files), "file") as tracker:
        for path in files:
            if path.exists() and holds(path, traces):  # a database's log goes with its last reader
                found.append(_name(programme, path))
            tracker.advance()
    return found
