"""The answer ledger: every answer a teacher gave, on disk before it is counted, and what was paid.

An answer stands under (teacher, revision, task version, prompt hash) and is never replaced. A call that
costs money is written down with its upper bound before it is made; until it is closed (the process was
killed meanwhile) that bound counts as spent. A call that brought no answer is closed with what it did cost
and with the bound of those of its requests that nobody knows the fate of. A provider's batch is written down
in the same way before it is submitted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.data.erasure import Traces, scrub
from tutelage.errors import UsageError
from tutelage.labelling._ledger_columns import (
    EXPORTED,
    LOCATED,
    locate,
    read_columns,
    read_rows,
    schema_of,
)
from tutelage.labelling._ledger_erasure import erase_answers
from tutelage.labelling._ledger_file import LedgerFile
from tutelage.labelling._ledger_rows import (
    ANSWER_COLUMNS,
    BATCH_COLUMNS,
    AttemptState,
    BatchState,
    LedgerKey,
    ProviderBatch,
    SpendLine,
    TeacherSummary,
    answer_of,
    batch_of,
    row_of,
)
from tutelage.labelling._unanswered import Unanswered
from tutelage.records import Answer, AnswerStatus, Prompt

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = [
    "AnswerLedger",
    "AttemptState",
    "BatchState",
    "LedgerKey",
    "ProviderBatch",
    "SpendLine",
    "TeacherSummary",
]

_UNKNOWN = "CASE WHEN state IN ('open', 'planned', 'submitted') THEN bound ELSE unaccounted END"
# All that money went to, in lines that can be summed up by any of the first five columns.
_LINES = f"""
    SELECT teacher, day, slice, status, model, answers, cost, 0.0 AS unaccounted, input_tokens, output_tokens,
           calls, repeatability, repeated
    FROM spending WHERE answers > 0
    UNION ALL
    SELECT teacher, substr(created, 1, 10), NULL, NULL, NULL, 0, cost, {_UNKNOWN}, 0, 0, 0, 0.0, 0
    FROM attempts WHERE state <> 'answered'
    UNION ALL
    SELECT teacher, substr(created, 1, 10), NULL, NULL, NULL, 0, cost, {_UNKNOWN}, 0, 0, 0, 0.0, 0
    FROM batches
"""
_SUMS = "sum(answers), total(cost), total(unaccounted), sum(input_tokens), sum(output_tokens), sum(calls)"
_GROUPS = ("teacher", "day", "slice", "status", "model")
_LOOKED_UP = 5_000  # prompts in one query
_INSERTED = 32  # answers in one statement
_OPEN_BATCH = (BatchState.PLANNED, BatchState.SUBMITTED)


class AnswerLedger(LedgerFile):
    """`answers/answers.sqlite`. Usable from several threads and processes; writers wait for each other.

    Raises UsageError for a file that a newer Tutelage wrote, IntegrityError for one that is no ledger, and
    DataError where the file can't be read or written. After a fault of the disk nothing is half recorded, and
    the same object goes on once the disk does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._under: dict[tuple[str, str], str] = {}

    def under(self, bases: Mapping[tuple[str, str], str]) -> None:
        """From now on answers of these teachers (name, revision) stand under these rights, as basis texts."""
        self._under.update(bases)

    def __enter__(self) -> AnswerLedger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _select_by_hash(self, columns: str, key: LedgerKey, hashes: Iterable[str]) -> Iterator[Any]:
        wanted = list(dict.fromkeys(hashes))
        for start in range(0, len(wanted), _LOOKED_UP):
            part = json.dumps(wanted[start : start + _LOOKED_UP])
            yield from self._select(
                f"SELECT prompt_hash, {columns} FROM answers WHERE teacher=? AND revision=? "
                "AND task_version=? AND prompt_hash IN (SELECT value FROM json_each(?))",
                (key.teacher, key.revision, key.task_version, part),
            )

    def answered(self, key: LedgerKey, hashes: Iterable[str]) -> set[str]:
        """Which of the prompt hashes have an answer, of whatever status."""
        return {row[0] for row in self._select_by_hash("1", key, hashes)}

    def unanswered(self, key: LedgerKey, prompts: Collection[Prompt]) -> Unanswered:
        """The prompts that have no answer now, each text once, in their order. None of them is held."""
        return Unanswered(prompts, partial(self.answered, key))

    def get_many(self, key: LedgerKey, hashes: Iterable[str]) -> dict[str, Answer]:
        """The answers there are, by prompt hash."""
        return {row[0]: answer_of(row[1:]) for row in self._select_by_hash(ANSWER_COLUMNS, key, hashes)}

    def bases(self, key: LedgerKey, hashes: Iterable[str]) -> dict[str, str]:
        """The rights under which answers there were given, as basis texts by prompt hash."""
        return dict(self._select_by_hash("basis", key, hashes))

    def read_answers(
        self,
        key: LedgerKey,
        columns: Sequence[str] = EXPORTED,
        hashes: Iterable[str] | None = None,
        without: AnswerStatus | None = None,
    ) -> pa.Table:
        """The answers under a key as a table, straight from the file: for a million of them seconds.

        `columns` are of `hash`, `status`, `value` (JSON), `distribution` (list of float32), `origin`, `raw`,
        `reason`, `model`, `input_tokens`, `output_tokens`, `cost` (US dollars), `latency` (seconds), `calls`,
        `rationale`, `tokens`, `repeatability`, `slice`, `created` (ISO time), `basis` and `raw_start` (the
        first bytes of `raw`). `hashes` restricts them to those prompts; `without` leaves one status out. The
        order means nothing. Raises UsageError for another column.
        """
        import pyarrow as pa

        wanted = None if hashes is None else list(dict.fromkeys(hashes))
        with self._reading() as database:
            batches = list(read_columns(database, key, columns, wanted, without))
        return pa.Table.from_batches(batches, schema_of(columns))

    def read_parts(
        self, key: LedgerKey, hashes: Iterable[str], size: int, columns: Sequence[str] = EXPORTED
    ) -> Iterator[tuple[npt.NDArray[np.bool_], pa.Table]]:
        """The answers to prompts in parts of `size`: which of the part have one, and those in its order.

        The columns are as in `read_answers`. No more than a part, and the hashes of `LOCATED` prompts, are in
        memory, and all show the ledger at one moment.
        """
        rest, at_once = iter(hashes), max(LOCATED // size, 1) * size
        with self._reading() as database:
            many = False
            while some := list(islice(rest, at_once)):
                many = many or len(some) == at_once
                rows = locate(database, key, some, one_by_one=many)
                for start in range(0, len(rows), size):
                    part = rows[start : start + size]
                    answered = part > 0
                    yield answered, read_rows(database, columns, part[answered])

    def has_usable(self, key: LedgerKey) -> bool:
        """Whether any prompt has an answer of status OK under this key."""
        found = self._select(
            "SELECT 1 FROM answers WHERE teacher=? AND revision=? AND task_version=? AND status=? LIMIT 1",
            (key.teacher, key.revision, key.task_version, AnswerStatus.OK),
        )
        return bool(found)

    def record(
        self,
        key: LedgerKey,
        answers: Sequence[tuple[Prompt, Answer]],
        attempts: Sequence[int] = (),
        batch: int | None = None,
        bases: Mapping[str, str] | None = None,
    ) -> None:
        """Keep answers, in one transaction; with it the attempts or the batch that brought them are closed.

        They stand under the right that `under` named; those combined of others' under `bases`, by hash.

        Raises IntegrityError where a prompt already has an answer under this key; then none is kept.
        """
        own, now = (key.teacher, key.revision, key.task_version), _now()
        basis = self._under.get((key.teacher, key.revision), "")
        hashes = [prompt.hash for prompt, _ in answers]
        rows = [
            (*own, hash_, *row_of(answer), prompt.slice, now, (bases or {}).get(hash_, basis))
            for hash_, (prompt, answer) in zip(hashes, answers, strict=True)
        ]
        with self.transaction():
            for start in range(0, len(rows), _INSERTED):
                part = rows[start : start + _INSERTED]
                self._database.execute(_insertion(len(part)), list(chain.from_iterable(part)))
            self._database.execute(
                "DELETE FROM replies WHERE teacher=? AND revision=? AND task_version=? "
                "AND prompt_hash IN (SELECT value FROM json_each(?))",
                (*own, json.dumps(hashes)),
            )
            if attempts:
                self._database.execute(
                    "UPDATE attempts SET state=? WHERE id IN (SELECT value FROM json_each(?))",
                    (AttemptState.ANSWERED, json.dumps(attempts)),
                )
            if batch is not None:
                self.close_batch(batch)

    def open_attempt(self, key: LedgerKey, bound: float) -> int:
        """Write down that a call of at most `bound` US dollars is about to be made; returns its number."""
        [attempt] = self.open_attempts(key, [bound])
        return attempt

    def open_attempts(self, key: LedgerKey, bounds: Sequence[float]) -> Sequence[int]:
        """`open_attempt` of several calls, in one transaction; their numbers follow each other."""
        with self.transaction():
            cursor = self._database.execute(
                "INSERT INTO attempts (teacher, revision, bound, state, created) "
                "SELECT ?, ?, value, ?, ? FROM json_each(?) ORDER BY key",
                (key.teacher, key.revision, AttemptState.OPEN, _now(), json.dumps(list(bounds))),
            )
        last = cursor.lastrowid or 0
        return range(last - len(bounds) + 1, last + 1)

    def fail_attempt(self, attempt: int, cost: float = 0.0, unaccounted: float = 0.0) -> None:
        """Write down that a call brought no answer, and in US dollars what it cost all the same.

        `cost` was charged for certain and is in no answer; `unaccounted` is the most that requests cost whose
        fate is unknown.
        """
        with self.transaction():
            self._database.execute(
                "UPDATE attempts SET state=?, cost=?, unaccounted=? WHERE id=?",
                (AttemptState.FAILED, cost, unaccounted, attempt),
            )

    def open_batch(self, key: LedgerKey, tag: str, hashes: Sequence[str], bound: float) -> int:
        """Write down that a provider's batch of at most `bound` US dollars is about to be submitted.

        `tag` goes to the provider with it and is given once; `hashes` are the prompts' in the batch's order.
        Returns its number. Raises IntegrityError where a batch of that tag stands already.
        """
        now = _now()
        with self.transaction():
            cursor = self._database.execute(
                "INSERT INTO batches (teacher, revision, task_version, tag, state, prompt_hashes, bound, "
                "created, updated) VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    *(key.teacher, key.revision, key.task_version, tag, BatchState.PLANNED),
                    *(json.dumps(list(hashes)), bound, now, now),
                ),
            )
        return cursor.lastrowid or 0

    def set_batch_remote(self, batch: int, remote: str) -> None:
        """Write down the provider's name of a batch, which is submitted with that.

        Raises UsageError where the batch isn't open.
        """
        self._change_batch(batch, "state=?, remote=?", (BatchState.SUBMITTED, remote))

    def close_batch(
        self,
        batch: int,
        state: BatchState = BatchState.ENDED,
        cost: float = 0.0,
        unaccounted: float = 0.0,
    ) -> None:
        """Write down that a batch is over, and in US dollars what it cost beside its recorded answers.

        Inside the `transaction` that records its answers nothing is counted twice, nor left out: `record`
        does that where all come at once. `cost` and `unaccounted` are as in `fail_attempt`. Raises UsageError
        where the batch isn't open.
        """
        self._change_batch(batch, "state=?, cost=?, unaccounted=?", (state, cost, unaccounted))

    def _change_batch(self, batch: int, assignments: str, values: Sequence[Any]) -> None:
        with self.transaction():
            cursor = self._database.execute(
                f"UPDATE batches SET {assignments}, updated=? WHERE id=? AND state IN (?,?)",
                (*values, _now(), batch, *_OPEN_BATCH),
            )
            if cursor.rowcount != 1:
                raise UsageError(
                    f"{self.path} has no open batch {batch}. Mend: look at `open_batches` again; another "
                    "process may have closed it"
                )

    def open_batches(self, key: LedgerKey | None = None) -> list[ProviderBatch]:
        """The batches that are planned or submitted, under this key or any, the oldest first."""
        own = "" if key is None else " AND teacher=? AND revision=? AND task_version=?"
        parameters = () if key is None else (key.teacher, key.revision, key.task_version)
        return self._batches(f"state IN (?,?){own}", (*_OPEN_BATCH, *parameters))

    def forgotten_batches(self) -> list[ProviderBatch]:
        """The batches that their provider had no longer, under any key, the oldest first."""
        return self._batches("state=?", (BatchState.FORGOTTEN,))

    def _batches(self, where: str, parameters: Sequence[Any]) -> list[ProviderBatch]:
        rows = self._select(f"SELECT {BATCH_COLUMNS} FROM batches WHERE {where} ORDER BY id", parameters)
        return [batch_of(row) for row in rows]

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

    def erase(self, traces: Traces) -> int:
        """Erase the answers to a person's prompts, and those that hold a trace, from the file's bytes too.

        How many there were. What they cost stays in every sum. Raises UsageError while one waits in a
        provider's batch, DataError where a reader keeps the log.
        """
        with self.transaction():
            erased = erase_answers(self._database, traces)
        with self._lock, self._errors():
            scrub(self._database, self.path)
        return erased

    def spent(self, teacher: str | None = None) -> float:
        """US dollars spent so far, over all runs: what is accounted, and bounds where nothing is known.

        Exact also after a run that was stopped: its answers, what its failed calls cost, and the bound of
        every request and batch that was under way when it ended.
        """
        where, parameters = ("", []) if teacher is None else (" WHERE teacher=?", [teacher])
        [(spent,)] = self._select(f"SELECT total(cost + unaccounted) FROM ({_LINES}){where}", parameters)
        return float(spent)

    def spend_by(self, *groups: str) -> list[SpendLine]:
        """What was spent by `teacher`, `day` (UTC), `slice`, `status` or `model`, or several of them.

        Calls and batches that brought no answer have neither slice, status nor model: they stand in lines of
        their own, where these are None. The lines come in the groups' order and add up to `spent`.
        """
        if not groups or not set(groups) <= set(_GROUPS):
            raise UsageError(
                f"spend_by was asked for {', '.join(groups) or 'nothing'}. Mend: name some of "
                f"{', '.join(_GROUPS)}"
            )
        names = ", ".join(groups)
        rows = self._select(f"SELECT {names}, {_SUMS} FROM ({_LINES}) GROUP BY {names} ORDER BY {names}")
        lines = [SpendLine(dict(zip(groups, row, strict=False)), *row[len(groups) :]) for row in rows]
        return [line for line in lines if line.answers or line.spent]

    def summary(self) -> list[TeacherSummary]:
        """What there is of each teacher, by name."""
        attempts = dict(self._select("SELECT teacher, count(*) FROM attempts GROUP BY teacher"))
        statuses, models = self._counts("status"), self._counts("model")
        rows = self._select(
            f"SELECT teacher, {_SUMS}, sum(repeatability) / nullif(sum(repeated), 0) FROM ({_LINES}) "
            "GROUP BY teacher"
        )
        totals = {name: tuple(rest) for name, *rest in rows}
        return [
            _summarise(
                name,
                totals.get(name, (0, 0.0, 0.0, 0, 0, 0, None)),
                statuses.get(name, {}),
                models.get(name, {}),
                attempts.get(name, 0),
            )
            for name in sorted(totals.keys() | attempts.keys())
        ]

    def _counts(self, column: str) -> dict[str, dict[str, int]]:
        """Answers by teacher, and within them by `column`."""
        counts: dict[str, dict[str, int]] = {}
        for teacher, name, count in self._select(
            f"SELECT teacher, {column}, sum(answers) FROM spending WHERE answers > 0 "
            f"GROUP BY teacher, {column} ORDER BY {column}"
        ):
            counts.setdefault(teacher, {})[name] = count
        return counts


def _summarise(
    name: str, totals: Sequence[Any], by_status: dict[str, int], models: dict[str, int], attempts: int
) -> TeacherSummary:
    answers, cost, unaccounted, input_tokens, output_tokens, calls, repeatability = totals
    return TeacherSummary(
        teacher=name,
        answers=answers,
        by_status=by_status,
        cost=cost,
        unaccounted=unaccounted,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        calls=calls,
        attempts=attempts,
        repeatability=repeatability,
        models={model: count for model, count in models.items() if model},
    )


@lru_cache(maxsize=_INSERTED)
def _insertion(count: int) -> str:
    """The statement for so many answers.

    SQLite's module lets other threads run at each statement and each row of `executemany`, and has to wait
    for its turn after that: beside an event loop that works to capacity many small steps take long.
    """
    row = f"({','.join('?' * 22)})"
    return (
        f"INSERT INTO answers (teacher, revision, task_version, prompt_hash, {ANSWER_COLUMNS}, slice, "
        f"created, basis) VALUES {','.join([row] * count)}"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
