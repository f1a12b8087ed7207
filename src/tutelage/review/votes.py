"""Votes of people on ballots, on disk before anybody is told that they counted."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tutelage.errors import UsageError
from tutelage.records import storable
from tutelage.review.database import PeopleDatabase, now

LONGEST_NAME = 60
LONGEST_COMMENT = 2_000
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


class VoteStore(PeopleDatabase):
    """`votes.sqlite`. Of a reviewer's votes on a ballot the last stands; see `PeopleDatabase`."""

    schema = _SCHEMA
    schema_version = 1
    holds = "votes"

    def cast(self, vote: Vote) -> None:
        """Record a vote in place of the reviewer's earlier one on this ballot, if any."""
        with self._transaction() as database:
            database.execute(
                "UPDATE votes SET withdrawn=? WHERE ballot=? AND reviewer=? AND withdrawn IS NULL",
                (now(), vote.ballot, vote.reviewer),
            )
            row = (vote.ballot, vote.prompt, vote.reviewer, vote.choice, vote.a, vote.b, vote.comment, now())
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
                    database.execute("UPDATE votes SET withdrawn=? WHERE id=?", (now(), id_))
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
