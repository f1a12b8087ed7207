"""The answer ledger: every answer a teacher gave, on disk before it is counted, and what was paid.

One SQLite file in WAL mode with `synchronous=FULL`, so a committed answer survives a kill and a power cut.
An answer stands under (teacher, revision, task version, prompt hash) and is never replaced. A call that
costs money is written down with its upper bound before it is made; until it is closed (the process was
killed meanwhile) that bound counts as spent. A call that brought no answer is closed with what it did cost
and with the bound of those of its requests that nobody knows the fate of.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.records import (
    Answer,
    AnswerStatus,
    DistributionOrigin,
    Prompt,
    Usage,
    dump_value,
    load_value,
)

if TYPE_CHECKING:
    from tutelage.records import Distribution
    from tutelage.tasks import Classify
    from tutelage.teachers import Teacher

# Each brings a file from the version that is its position to the next.
_STEPS = (
    """
CREATE TABLE answers (
    teacher TEXT NOT NULL, revision TEXT NOT NULL, task_version TEXT NOT NULL, prompt_hash TEXT NOT NULL,
    status TEXT NOT NULL, value TEXT, distribution BLOB, origin TEXT NOT NULL, raw TEXT NOT NULL,
    reason TEXT NOT NULL, model TEXT NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    cost REAL NOT NULL, latency REAL NOT NULL, calls INTEGER NOT NULL, created TEXT NOT NULL,
    PRIMARY KEY (teacher, revision, task_version, prompt_hash)
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY, teacher TEXT NOT NULL, revision TEXT NOT NULL, bound REAL NOT NULL,
    state TEXT NOT NULL, created TEXT NOT NULL
);
""",
    """
ALTER TABLE attempts ADD COLUMN cost REAL NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN unaccounted REAL NOT NULL DEFAULT 0;
UPDATE attempts SET unaccounted=bound WHERE state='unaccounted';
CREATE TABLE replies (
    id INTEGER PRIMARY KEY, teacher TEXT NOT NULL, revision TEXT NOT NULL, task_version TEXT NOT NULL,
    prompt_hash TEXT NOT NULL, reply TEXT NOT NULL, created TEXT NOT NULL
);
CREATE INDEX replies_by_prompt ON replies (teacher, revision, task_version, prompt_hash);
""",
)
SCHEMA_VERSION = len(_STEPS)

_ANSWER = (
    "status, value, distribution, origin, raw, reason, model, "
    "input_tokens, output_tokens, cost, latency, calls"
)
_UNKNOWN = "CASE state WHEN 'open' THEN bound ELSE unaccounted END"
_BATCH = 500  # host parameters in one query; SQLite's own limit was 999 for long


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """What an answer depends on beside its prompt."""

    teacher: str
    revision: str
    task_version: str

    @classmethod
    def of(cls, teacher: Teacher, task: Classify) -> LedgerKey:
        """The key of a teacher's answers to a task."""
        return cls(teacher.name, teacher.revision, task.version)


class AttemptState(StrEnum):
    """What became of a call that may cost money. Files of version 1 hold older names of `FAILED` too."""

    OPEN = "open"
    ANSWERED = "answered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TeacherSummary:
    """What the ledger holds of one teacher, over all its revisions.

    `cost` in US dollars as accounted by answers and by failed calls; `unaccounted` is the upper bound of
    requests without an account; `attempts` counts the calls that might have cost money.
    """

    teacher: str
    answers: int
    by_status: dict[str, int]
    cost: float
    unaccounted: float
    input_tokens: int
    output_tokens: int
    calls: int
    attempts: int

    @property
    def spent(self) -> float:
        """US dollars that count as spent: `cost` and `unaccounted`."""
        return self.cost + self.unaccounted


class AnswerLedger:
    """`answers/answers.sqlite`. Usable from several threads; one process at a time writes.

    Raises UsageError for a file that a newer Tutelage wrote, IntegrityError for one that is no ledger, and
    DataError where the file can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=30.0, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        with self.transaction():
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise UsageError(
                    f"{self.path} has schema version {version}, and this Tutelage knows {SCHEMA_VERSION}. "
                    "Mend: use the newer Tutelage that wrote it"
                )
            if version == SCHEMA_VERSION:
                return
            for step in _STEPS[version:]:
                for statement in step.split(";\n"):
                    self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def __enter__(self) -> AnswerLedger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything recorded is already in it."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise DataError(
                f"{self.path} can't be used: {error}. Mend: check free space, permissions and other "
                "processes; what was recorded is kept"
            ) from error
        except sqlite3.IntegrityError as error:
            raise IntegrityError(
                f"{self.path} already holds an answer that was to be recorded ({error}); answers are never "
                "replaced. Mend: run again, and report this as a bug"
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"{self.path} is no answer ledger, or is damaged: {error}. Mend: restore it from a backup; "
                "deleting it means paying for its answers again"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is committed together, or not at all. May be nested."""
        with self._lock, self._errors():
            if self._depth:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0

    def _select(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self._errors():
            return self._database.execute(query, parameters).fetchall()

    def _select_by_hash(self, columns: str, key: LedgerKey, hashes: Iterable[str]) -> Iterator[Any]:
        wanted = list(dict.fromkeys(hashes))
        for start in range(0, len(wanted), _BATCH):
            part = wanted[start : start + _BATCH]
            yield from self._select(
                f"SELECT prompt_hash, {columns} FROM answers WHERE teacher=? AND revision=? "
                f"AND task_version=? AND prompt_hash IN ({','.join('?' * len(part))})",
                (key.teacher, key.revision, key.task_version, *part),
            )

    def answered(self, key: LedgerKey, hashes: Iterable[str]) -> set[str]:
        """Which of the prompt hashes have an answer, of whatever status."""
        return {row[0] for row in self._select_by_hash("1", key, hashes)}

    def get_many(self, key: LedgerKey, hashes: Iterable[str]) -> dict[str, Answer]:
        """The answers there are, by prompt hash."""
        return {row[0]: _answer_of(row[1:]) for row in self._select_by_hash(_ANSWER, key, hashes)}

    def has_usable(self, key: LedgerKey) -> bool:
        """Whether any prompt has an answer of status OK under this key."""
        found = self._select(
            "SELECT 1 FROM answers WHERE teacher=? AND revision=? AND task_version=? AND status=? LIMIT 1",
            (key.teacher, key.revision, key.task_version, AnswerStatus.OK),
        )
        return bool(found)

    def record(
        self, key: LedgerKey, answers: Sequence[tuple[Prompt, Answer]], attempt: int | None = None
    ) -> None:
        """Keep answers, in one transaction; with it the attempt that brought them is closed.

        Raises IntegrityError where a prompt already has an answer under this key; then none is kept.
        """
        now = _now()
        key_of = [(key.teacher, key.revision, key.task_version, prompt.hash) for prompt, _ in answers]
        rows = [(*own, *_row_of(answer), now) for own, (_, answer) in zip(key_of, answers, strict=True)]
        with self.transaction():
            self._database.executemany(
                f"INSERT INTO answers (teacher, revision, task_version, prompt_hash, {_ANSWER}, created) "
                f"VALUES ({','.join('?' * 17)})",
                rows,
            )
            self._database.executemany(
                "DELETE FROM replies WHERE teacher=? AND revision=? AND task_version=? AND prompt_hash=?",
                key_of,
            )
            if attempt is not None:
                self._close(attempt, AttemptState.ANSWERED, 0.0, 0.0)

    def open_attempt(self, key: LedgerKey, bound: float) -> int:
        """Write down that a call of at most `bound` US dollars is about to be made; returns its number."""
        with self.transaction():
            cursor = self._database.execute(
                "INSERT INTO attempts (teacher, revision, bound, state, created) VALUES (?,?,?,?,?)",
                (key.teacher, key.revision, bound, AttemptState.OPEN, _now()),
            )
        return cursor.lastrowid or 0

    def fail_attempt(self, attempt: int, cost: float = 0.0, unaccounted: float = 0.0) -> None:
        """Write down that a call brought no answer, and in US dollars what it cost all the same.

        `cost` was charged for certain and is in no answer; `unaccounted` is the most that requests cost whose
        fate is unknown.
        """
        with self.transaction():
            self._close(attempt, AttemptState.FAILED, cost, unaccounted)

    def _close(self, attempt: int, state: AttemptState, cost: float, unaccounted: float) -> None:
        self._database.execute(
            "UPDATE attempts SET state=?, cost=?, unaccounted=? WHERE id=?",
            (state, cost, unaccounted, attempt),
        )

    def keep_replies(self, key: LedgerKey, replies: Mapping[str, Sequence[str]]) -> None:
        """Keep, by prompt hash, replies that were paid for and don't make an answer yet.

        They go when the prompt's answer is recorded.
        """
        now = _now()
        rows = [
            (key.teacher, key.revision, key.task_version, hash_, reply, now)
            for hash_, several in replies.items()
            for reply in several
        ]
        with self.transaction():
            self._database.executemany(
                "INSERT INTO replies (teacher, revision, task_version, prompt_hash, reply, created) "
                "VALUES (?,?,?,?,?,?)",
                rows,
            )

    def replies(self, key: LedgerKey) -> dict[str, list[str]]:
        """What `keep_replies` kept, by prompt hash."""
        kept: dict[str, list[str]] = {}
        for hash_, reply in self._select(
            "SELECT prompt_hash, reply FROM replies WHERE teacher=? AND revision=? AND task_version=? "
            "ORDER BY id",
            (key.teacher, key.revision, key.task_version),
        ):
            kept.setdefault(hash_, []).append(reply)
        return kept

    def spent(self, teacher: str | None = None) -> float:
        """US dollars spent so far, over all runs: what is accounted, and bounds where nothing is known.

        Exact also after a run that was stopped: its answers, what its failed calls cost, and the bound of
        every request that was under way when it ended.
        """
        where, parameters = ("WHERE teacher=?", [teacher]) if teacher is not None else ("WHERE 1", [])
        [(answered, failed)] = self._select(
            f"SELECT (SELECT total(cost) FROM answers {where}), "
            f"(SELECT total(cost + {_UNKNOWN}) FROM attempts {where})",
            parameters * 2,
        )
        return float(answered) + float(failed)

    def summary(self) -> list[TeacherSummary]:
        """What there is of each teacher, by name."""
        totals = self._select(
            "SELECT teacher, count(*), total(cost), sum(input_tokens), sum(output_tokens), sum(calls) "
            "FROM answers GROUP BY teacher"
        )
        statuses: dict[str, dict[str, int]] = {}
        for teacher, status, count in self._select(
            "SELECT teacher, status, count(*) FROM answers GROUP BY teacher, status ORDER BY status"
        ):
            statuses.setdefault(teacher, {})[status] = count
        attempts = {
            row[0]: row[1:]
            for row in self._select(
                f"SELECT teacher, count(*), total(cost), total({_UNKNOWN}) FROM attempts GROUP BY teacher"
            )
        }
        answered = {row[0]: row[1:] for row in totals}
        return [
            _summarise(name, answered.get(name), statuses.get(name, {}), attempts.get(name, (0, 0.0, 0.0)))
            for name in sorted(answered.keys() | attempts.keys())
        ]


def _summarise(
    name: str, totals: Sequence[Any] | None, by_status: dict[str, int], attempts: Sequence[Any]
) -> TeacherSummary:
    answers, cost, input_tokens, output_tokens, calls = totals or (0, 0.0, 0, 0, 0)
    return TeacherSummary(
        teacher=name,
        answers=answers,
        by_status=by_status,
        cost=cost + attempts[1],
        unaccounted=attempts[2],
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        calls=calls,
        attempts=attempts[0],
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _row_of(answer: Answer) -> tuple[Any, ...]:
    usage = answer.usage
    return (
        answer.status,
        None if answer.value is None else dump_value(answer.value),
        None if answer.distribution is None else answer.distribution.astype("<f4").tobytes(),
        answer.origin,
        answer.raw,
        answer.reason,
        answer.model,
        usage.input_tokens,
        usage.output_tokens,
        usage.cost,
        usage.latency,
        usage.calls,
    )


def _answer_of(row: Sequence[Any]) -> Answer:
    status, value, distribution, origin, raw, reason, model, *usage = row
    return Answer(
        status=AnswerStatus(status),
        value=None if value is None else load_value(value),
        distribution=None if distribution is None else _distribution_of(distribution),
        origin=DistributionOrigin(origin),
        raw=raw,
        reason=reason,
        model=model,
        usage=Usage(*usage),
    )


def _distribution_of(blob: bytes) -> Distribution:
    import numpy as np

    return np.frombuffer(blob, dtype="<f4").astype(np.float32)
