"""The store: one object for all that a server keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tutelage.errors import UsageError
from tutelage.serving.captures import Capture, Promise
from tutelage.serving.store import _captured, _rollout
from tutelage.serving.store._captured import Completion
from tutelage.serving.store._database import Database
from tutelage.serving.store._purge import purge
from tutelage.serving.store._records import Alert, ApiKey, RolloutChange, Totals
from tutelage.serving.store._reviews import Reviews
from tutelage.serving.store._tables import ALERTS, KEYS, MONITORS
from tutelage.serving.store._writer import Write, Writer

PATIENCE = 1.0  # seconds that an answer waits for its capture to be on disk


class Store:
    """A server's state in one database. Several servers may share one in PostgreSQL.

    `capture` and `complete` belong to an event loop and are written by a thread. All else is a transaction
    at once, of about a millisecond: in a handler, call it in a worker thread. Raises DataError where the
    database can't be used (`capture` and `complete` don't: see `lost`).
    """

    def __init__(self, database: Database, journal: Path) -> None:
        """`journal` is the folder for captures that no transaction has taken yet."""
        self._database = database
        self._recording = _captured.Recording(database.engine.dialect)
        self._writer = Writer(database, journal)
        self.reviews = Reviews(database)
        self._stuck_at = -1
        self.late = 0
        """Captures that were not kept as they were to be when their answer went out; they may be since."""

    # What was asked and answered

    async def capture(
        self, capture: Capture, *, promise: Promise, monitors: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a capture, and in the same transaction the monitors' states that it moved.

        `durable`: it is on disk when this returns, or counted in `lost` or `late`; this waits `PATIENCE`
        seconds at most, and not at all while the database fails or is stuck. `written`: it was handed to the
        operating system, which keeps it when this process is killed; else it counts as late. `batched`: it is
        queued. Never raises for want of a database.
        """
        await self._put(capture, promise, monitors)

    async def complete(
        self,
        id: str,
        *,
        teacher_value: str | None,
        agree: bool | None,
        cost: float,
        promise: Promise = "batched",
        monitors: Mapping[str, Any] | None = None,
    ) -> None:
        """Add what the teacher said of a capture that was answered before; `cost` adds to its cost."""
        await self._put(Completion(id, teacher_value, agree, cost), promise, monitors)

    async def _put(
        self, what: Capture | Completion, promise: Promise, monitors: Mapping[str, Any] | None
    ) -> None:
        if promise != "durable":
            lost, written = self._writer.lost, promise == "written"
            if not self._writer.put(Write(what, monitors), written=written) and self._writer.lost == lost:
                self.late += 1
            return
        stuck = self._writer.commits == self._stuck_at  # nothing was committed since the last that was late
        waits = not self._writer.failure and not stuck
        done = asyncio.get_running_loop().create_future() if waits else None
        if not self._writer.put(Write(what, monitors, done)):
            return
        if done is not None:
            commits = self._writer.commits
            _, pending = await asyncio.wait([done], timeout=PATIENCE)
            if pending:
                self._stuck_at = commits
        self.late += not (done is not None and done.done() and done.result())

    def _catch_up(self) -> None:
        """What this process has answered is there to be read, unless the database fails."""
        if self._writer.waiting and not self._writer.failure:
            self._writer.flush(PATIENCE)

    @property
    def lost(self) -> int:
        """Captures and completions that could not be kept since the store was opened."""
        return self._writer.lost

    @property
    def failure(self) -> str:
        """Why no captures can be kept now; "" while they can."""
        return self._writer.failure

    @property
    def waiting(self) -> int:
        """Captures and completions in the queue."""
        return self._writer.waiting

    def captures(
        self,
        *,
        since: float | None = None,
        before: str | None = None,
        by: str | None = None,
        slice: str | None = None,
        disagreeing: bool | None = None,
        audited: bool | None = None,
        limit: int = 100,
    ) -> list[Capture]:
        """Captures, newest first, `limit` at most.

        `since` is in seconds since the epoch; `before` is the id of the last capture of the page before.
        `disagreeing` asks for those whose values differ (True) or agree (False).
        """
        self._catch_up()
        with self._database.reading() as connection:
            return _captured.select(
                connection,
                since=since,
                before=before,
                by=by,
                slice=slice,
                disagreeing=disagreeing,
                audited=audited,
                limit=limit,
            )

    def most_valuable(self, most: int, known: Collection[str]) -> list[Capture]:
        """Of each text that was kept, and whose hash isn't `known`, the last capture; `most` at most.

        By `reviews.value_of` the best that any of its requests had, then by how often it came.
        """
        self._catch_up()
        with self._database.reading() as connection:
            return _captured.most_valuable(connection, most, known)

    def totals(self, since: float) -> Totals:
        """What came since the minute of `since` (seconds since the epoch), by stage, by and slice.

        Counts stay when the captures they counted are purged.
        """
        self._catch_up()
        with self._database.reading() as connection:
            return _captured.totals(connection, since)

    def series(self, since: float, *, minutes: int = 1) -> list[Totals]:
        """As `totals`, for each stretch of so many minutes in which anything came, oldest first.

        Each has the time at which it begins as `since`; the first begins at or before the `since` asked for.
        """
        self._catch_up()
        with self._database.reading() as connection:
            return _captured.series(connection, since, minutes)

    def purge(self, *, before: float | None = None, keys: Collection[str] | None = None) -> int:
        """Remove captures made before a time, or of keys, from the file as well; how many there were.

        What people said of them goes too.

        SQLite's file is written anew, about 10 seconds a GB, in which captures wait in memory: a durable one
        may be late. Raises DataError where a reader of another process keeps the old content in the log.
        """
        self._writer.flush(PATIENCE)  # what came before is there to be purged
        return purge(self._database, before=before, keys=keys)

    def captures_of(self, keys: Collection[str]) -> list[Capture]:
        """All captures of these keys, the oldest first."""
        self._writer.flush(PATIENCE)
        with self._database.reading() as connection:
            return _captured.of_keys(connection, keys)

    # The rollout

    def rollout(self) -> RolloutChange | None:
        """The change that holds now; None before the first."""
        return next(iter(self.rollout_changes(1)), None)

    def change_rollout(self, change: RolloutChange, *, after: int | None = None) -> RolloutChange:
        """Record a change, on disk when this returns, with its number and hash.

        With `after`, raises UsageError where the last change isn't the one of that number (0: none).
        """
        with self._database.writing() as connection:
            return _rollout.append(connection, change, after)

    def rollout_changes(self, limit: int = 100) -> list[RolloutChange]:
        """The last changes, newest first."""
        with self._database.reading() as connection:
            return _rollout.latest(connection, limit)

    def verify_rollout(self) -> int:
        """How many changes there are. Raises IntegrityError where one was tampered with."""
        with self._database.reading() as connection:
            return _rollout.verify(_rollout.latest(connection, limit=1 << 31)[::-1])

    # Keys

    def add_key(self, key: ApiKey) -> None:
        """Record a key. Raises IntegrityError where its id is taken."""
        with self._database.writing() as connection:
            connection.execute(sa.insert(KEYS), asdict(key))

    def keys(self) -> list[ApiKey]:
        """All keys, also those revoked, oldest first."""
        with self._database.reading() as connection:
            query = sa.select(KEYS).order_by(KEYS.c.created, KEYS.c.id)
            return [ApiKey(**row) for row in connection.execute(query).mappings()]

    def revoke_key(self, id: str, at: float) -> None:
        """End a key's right from `at` on. Raises UsageError where there is none; again changes nothing."""
        with self._database.writing() as connection:
            known = connection.execute(sa.select(KEYS.c.revoked).where(KEYS.c.id == id)).one_or_none()
            if known is None:
                raise UsageError(f"there is no key {id!r}. Mend: list the keys, and name one of them")
            if known.revoked is None:
                connection.execute(sa.update(KEYS).where(KEYS.c.id == id).values(revoked=at))

    def use_key(self, id: str, day: str) -> None:
        """Note that a key was used on a UTC day (ISO 8601); once a day is enough."""
        with self._database.writing() as connection:
            connection.execute(
                sa.update(KEYS).where(KEYS.c.id == id, KEYS.c.last_used < day).values(last_used=day)
            )

    # Monitors and alerts

    def monitors(self, *begins: str) -> dict[str, Any]:
        """Each monitor's last state, by name; with `begins` those whose names begin with one of them."""
        query = sa.select(MONITORS)
        if begins:
            query = query.where(sa.or_(*(MONITORS.c.name.startswith(one, autoescape=True) for one in begins)))
        with self._database.reading() as connection:
            return {row.name: row.state for row in connection.execute(query)}

    def save_monitors(self, states: Mapping[str, Any]) -> None:
        """Record states that no capture moved (a monitor begun anew)."""
        if states:
            with self._database.writing() as connection:
                self._recording.save_monitors(connection, states)

    def forget_monitors(self, names: Collection[str]) -> None:
        """Remove states that nobody needs any more."""
        if names:
            with self._database.writing() as connection:
                connection.execute(sa.delete(MONITORS).where(MONITORS.c.name.in_(sorted(names))))

    def add_alert(self, alert: Alert) -> Alert:
        """Record an alert; it has its id in what is returned."""
        content = {field.name: getattr(alert, field.name) for field in fields(alert) if field.name != "id"}
        with self._database.writing() as connection:
            recorded = connection.execute(sa.insert(ALERTS).returning(ALERTS.c.id), content)
            return replace(alert, id=recorded.scalar_one())

    def alerts(self, *, open_only: bool = False, limit: int = 100) -> list[Alert]:
        """The last alerts, newest first; with `open_only` those that nobody acknowledged."""
        query = sa.select(ALERTS).order_by(ALERTS.c.id.desc()).limit(limit)
        if open_only:
            query = query.where(ALERTS.c.acknowledged_at.is_(None))
        with self._database.reading() as connection:
            return [Alert(**row) for row in connection.execute(query).mappings()]

    def acknowledge_alert(self, id: int, *, by: str, at: float) -> None:
        """Note who has seen an alert, and when; the first stays."""
        with self._database.writing() as connection:
            connection.execute(
                sa.update(ALERTS)
                .where(ALERTS.c.id == id, ALERTS.c.acknowledged_at.is_(None))
                .values(acknowledged_by=by, acknowledged_at=at)
            )

    async def close(self) -> None:
        """Write what waits, and close the database."""
        await asyncio.to_thread(self._writer.close)
        self._database.close()


def open_store(url: str | Path, journal: Path | None = None) -> Store:
    """Open a server's state, made or brought up to date where it has to be, and with what a server that was
    killed had written down.

    `url` is a file's path, `sqlite:///path` or `postgresql://user@host/name`; `journal` the folder for what
    was captured and no transaction has taken yet, where absent that of SQLite's file, or the current one.
    Raises UsageError where it can't be read or is of a newer Tutelage, MissingExtraError without psycopg,
    DataError where nothing answers.
    """
    database = Database(url)
    try:
        return Store(database, journal or (database.path.parent if database.is_sqlite else Path()))
    except BaseException:
        database.close()
        raise
