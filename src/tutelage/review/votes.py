"""Votes of people on ballots, on disk before anybody is told that they counted."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from tutelage.errors import DataError, UsageError
from tutelage.records import storable

LONGEST_NAME = 60
LONGEST_COMMENT = 2_000
_SCHEMA_VERSION = 1
_PATIENCE = 10.0  # seconds that a vote waits while another process writes
_SCHEMA = """
CREATE TABLE votes (
    id INTEGER PRIMARY KEY, ballot TEXT NOT NULL, prompt TEXT NOT NULL, reviewer TEXT NOT NULL,
    choice TEXT NOT NULL, a TEXT NOT NULL, b TEXT NOT NULL, comment TEXT NOT NULL, created TEXT NOT NULL,
    withdrawn TEXT
);
CREATE UNIQUE INDEX standing ON votes (ballot, reviewer) WHERE withdrawn IS NULL;
"""


class Choice(StrEnum):
    """What a person says of two answers."""

    A = "a"
    B = "b"
    BOTH = "both"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote. `a` and `b` are the answers as they were shown, JSON (`null`: no answer); `prompt` a hash."""

    ballot: str
    prompt: str
    reviewer: str
    choice: Choice
    a: str
    b: str
    comment: str = ""

    @property
    def preferred(self) -> str | None:
        """The answer that the reviewer found better (JSON); None where that is neither of them."""
        return {Choice.A: self.a, Choice.B: self.b}.get(self.choice)


def reviewer_name(text: str) -> str:
    """A name as votes keep it: one spelling of it. Raises UsageError where it is none."""
    name = " ".join(unicodedata.normalize("NFC", storable(text)).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"{name[:LONGEST_NAME]!r} can't stand for a reviewer. Mend: give 1 to {LONGEST_NAME} characters"
        )
    return name


def majority(said: Iterable[str]) -> str | None:
    """What more than half of them say; None where nothing is."""
    counts = Counter(said)
    if not counts:
        return None
    first, count = counts.most_common(1)[0]
    return first if 2 * count > counts.total() else None


class VoteStore:
    """`votes.sqlite`. Of a reviewer's votes on a ballot the last stands; none is ever deleted.

    A vote is synced to disk when `cast` returns. Several servers may write to one file; of one store a single
    thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=_PATIENCE, check_same_thread=False
            )
            self._prepare()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def cast(self, vote: Vote) -> None:
        """Record a vote in place of the reviewer's earlier one on this ballot, if any."""
        with self._transaction() as database:
            database.execute(
                "UPDATE votes SET withdrawn=? WHERE ballot=? AND reviewer=? AND withdrawn IS NULL",
                (_now(), vote.ballot, vote.reviewer),
            )
            row = (vote.ballot, vote.prompt, vote.reviewer, vote.choice, vote.a, vote.b, vote.comment, _now())
            database.execute(
                "INSERT INTO votes (ballot, prompt, reviewer, choice, a, b, comment, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def withdraw_last(self, reviewer: str, ballots: Collection[str]) -> str | None:
        """Take back the reviewer's last vote on one of `ballots`; return which, None where there is none."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT id, ballot FROM votes WHERE reviewer=? AND withdrawn IS NULL ORDER BY id DESC",
                (reviewer,),
            )
            for id_, ballot in rows.fetchall():
                if ballot in ballots:
                    database.execute("UPDATE votes SET withdrawn=? WHERE id=?", (_now(), id_))
                    return str(ballot)
        return None

    def voted(self, reviewer: str) -> set[str]:
        """The ballots on which a vote of the reviewer stands."""
        query = "SELECT ballot FROM votes WHERE reviewer=? AND withdrawn IS NULL"
        with self._errors():
            return {row[0] for row in self._database.execute(query, (reviewer,))}

    def last_comment(self, reviewer: str, ballot: str) -> str:
        """What the reviewer last wrote beside a vote on the ballot, withdrawn or not."""
        query = "SELECT comment FROM votes WHERE reviewer=? AND ballot=? ORDER BY id DESC LIMIT 1"
        with self._errors():
            row = self._database.execute(query, (reviewer, ballot)).fetchone()
        return str(row[0]) if row else ""

    def reviewers(self) -> list[str]:
        """Who has voted, in the order of their names."""
        query = "SELECT DISTINCT reviewer FROM votes WHERE withdrawn IS NULL ORDER BY reviewer"
        with self._errors():
            return [row[0] for row in self._database.execute(query)]

    def standing(self) -> list[Vote]:
        """All votes that stand, in the order in which they were cast."""
        query = (
            "SELECT ballot, prompt, reviewer, choice, a, b, comment FROM votes "
            "WHERE withdrawn IS NULL ORDER BY id"
        )
        with self._errors():
            rows = self._database.execute(query).fetchall()
        return [
            Vote(ballot, prompt, reviewer, Choice(choice), a, b, comment)
            for ballot, prompt, reviewer, choice, a, b, comment in rows
        ]

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        with self._transaction() as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > _SCHEMA_VERSION:
                raise UsageError(
                    f"{self.path} has schema version {version}, and this Tutelage knows {_SCHEMA_VERSION}. "
                    "Mend: use the newer Tutelage that wrote it"
                )
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"{self.path} can't be used: {error}; confirmed votes are in it. Mend: check that it "
                "is a file of votes, that it can be read and written, and that the disk has room"
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
