from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.labelling import AnswerLedger, BatchState, LedgerKey
from tutelage.labelling._ledger_schema import SCHEMA_VERSION, STEPS
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage

KEY = LedgerKey("t", "r", "v")
FULL = Answer(
    AnswerStatus.OK,
    "card",
    np.array([0.1, 0.7, 0.2], dtype=np.float32),
    DistributionOrigin.LOGPROBS,
    '{"label": "card"}\0',
    "because",
    "m-1",
    Usage(20, 5, 0.25, 1.5, 2),
    "a card was named",
    b"\x00top-k",
    0.75,
)
BAD = Answer(AnswerStatus.REFUSED, None, raw="no")


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    several = Answer(AnswerStatus.OK, ("a", "b"))
    with AnswerLedger(tmp_path / "new" / "a.sqlite") as ledger:
        prompts = [Prompt(str(i), f"text {i}") for i in range(3)]
        ledger.record(KEY, list(zip(prompts, [FULL, BAD, several], strict=True)))
        found = ledger.get_many(KEY, [prompt.hash for prompt in prompts] * 2 + ["unknown"])
        assert len(found) == 3
        back = found[prompts[0].hash]
        assert back.distribution is not None and back.distribution.dtype == np.float32
        np.testing.assert_array_equal(back.distribution, FULL.distribution)
        names = [name for name in Answer.__slots__ if name != "distribution"]
        assert [getattr(back, name) for name in names] == [getattr(FULL, name) for name in names]
        assert (found[prompts[1].hash], found[prompts[2].hash]) == (BAD, several)


def test_keys_keep_answers_apart(tmp_path: Path) -> None:
    prompt = Prompt("1", "x")
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(prompt, FULL)])
        assert ledger.answered(KEY, [prompt.hash, "other"]) == {prompt.hash}
        for key in (LedgerKey("u", "r", "v"), LedgerKey("t", "s", "v"), LedgerKey("t", "r", "w")):
            assert ledger.answered(key, [prompt.hash]) == set()
            ledger.record(key, [(prompt, BAD)])


def test_an_answer_is_never_replaced_and_a_batch_is_whole(tmp_path: Path) -> None:
    first, second = Prompt("1", "x"), Prompt("2", "y")
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(first, FULL)])
        with pytest.raises(IntegrityError, match="never replaced"):
            ledger.record(KEY, [(second, BAD), (first, BAD)])
        assert ledger.answered(KEY, [first.hash, second.hash]) == {first.hash}
        assert ledger.get_many(KEY, [first.hash])[first.hash].status is AnswerStatus.OK


def test_money_is_counted_over_restarts_with_calls_that_have_no_account(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    other = LedgerKey("u", "r", "v")
    with AnswerLedger(path) as ledger:
        assert ledger.spent() == 0.0 and ledger.summary() == []
        answered = ledger.open_attempt(KEY, 1.0)
        assert ledger.spent() == 1.0  # under way: might cost that
        ledger.record(KEY, [(Prompt("1", "x"), FULL)], [answered])
        assert ledger.spent() == 0.25
        ledger.fail_attempt(ledger.open_attempt(KEY, 1.0))
        ledger.fail_attempt(ledger.open_attempt(KEY, 4.0), cost=0.125, unaccounted=0.5)
        ledger.open_attempt(other, 2.0)  # and then the process was killed
    with AnswerLedger(path) as ledger:
        assert (ledger.spent(), ledger.spent("t"), ledger.spent("u")) == (2.875, 0.875, 2.0)
        ledger.record(KEY, [(Prompt("2", "y"), BAD)])
        first, second = ledger.summary()
    assert (first.teacher, first.answers, first.by_status) == ("t", 2, {"ok": 1, "refused": 1})
    assert (first.cost, first.unaccounted, first.attempts) == (0.375, 0.5, 3)
    assert (first.spent, second.spent) == (0.875, 2.0)
    assert (first.input_tokens, first.output_tokens, first.calls) == (20, 5, 2)
    assert (second.teacher, second.answers, second.unaccounted, second.attempts) == ("u", 0, 2.0, 1)


def test_replies_without_an_answer_stay_until_there_is_one(tmp_path: Path) -> None:
    first, second = Prompt("1", "x"), Prompt("2", "y")
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        assert ledger.replies(KEY) == {}
        ledger.keep_replies(KEY, {first.hash: ["a", "b"], second.hash: ["c"]})
        ledger.keep_replies(KEY, {first.hash: ["d"]})
        ledger.keep_replies(LedgerKey("t", "other", "v"), {first.hash: ["e"]})
        assert ledger.replies(KEY) == {first.hash: ["a", "b", "d"], second.hash: ["c"]}
        ledger.record(KEY, [(first, FULL)])
        assert ledger.replies(KEY) == {second.hash: ["c"]}
        assert ledger.replies(LedgerKey("t", "other", "v")) == {first.hash: ["e"]}


def test_a_batch_stays_open_until_its_answers_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    prompts = [Prompt(str(i), f"text {i}") for i in range(2)]
    hashes = tuple(prompt.hash for prompt in prompts)
    with AnswerLedger(path) as ledger:
        assert ledger.open_batches(KEY) == []
        first = ledger.open_batch(KEY, "tag-1", hashes, 4.0)
        second = ledger.open_batch(KEY, "tag-2", hashes[:1], 2.0)
        ledger.open_batch(LedgerKey("u", "r", "v"), "tag-3", hashes, 1.0)
        with pytest.raises(IntegrityError, match="already holds a batch"):
            ledger.open_batch(KEY, "tag-1", hashes, 4.0)
        ledger.set_batch_remote(second, "batch_abc")
    with AnswerLedger(path) as ledger:  # and then the process was killed
        planned, submitted = ledger.open_batches(KEY)
        assert [(batch.teacher, batch.tag) for batch in ledger.open_batches()] == [
            ("t", "tag-1"),
            ("t", "tag-2"),
            ("u", "tag-3"),
        ]
        assert (planned.id, planned.tag, planned.remote, planned.state) == (first, "tag-1", None, "planned")
        assert (planned.prompt_hashes, planned.bound) == (hashes, 4.0)
        assert (submitted.remote, submitted.state) == ("batch_abc", BatchState.SUBMITTED)
        assert (ledger.spent(), ledger.spent("t")) == (7.0, 6.0)
        with pytest.raises(RuntimeError), ledger.transaction():
            ledger.record(KEY, [(prompts[0], FULL)], batch=first)
            raise RuntimeError("killed in between")
        assert ledger.answered(KEY, hashes) == set() and len(ledger.open_batches(KEY)) == 2
        ledger.record(KEY, [(prompt, FULL) for prompt in prompts], batch=first)
        assert ledger.spent("t") == 2.5
        ledger.close_batch(second, BatchState.FAILED, cost=0.25, unaccounted=0.125)
        assert ledger.open_batches(KEY) == [] and ledger.spent("t") == 0.875
        for change in (lambda: ledger.close_batch(first), lambda: ledger.set_batch_remote(second, "other")):
            with pytest.raises(UsageError, match="no open batch"):
                change()
        assert ledger.summary()[0].unaccounted == 0.125


def test_money_is_told_by_teacher_day_slice_and_model(tmp_path: Path) -> None:
    other = LedgerKey("u", "r", "v")
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        assert ledger.spend_by("teacher", "day") == []
        ledger.record(KEY, [(Prompt(str(i), f"n {i}"), FULL) for i in range(3)])
        ledger.record(KEY, [(Prompt("c", "c", slice="critical"), BAD)])
        ledger.record(
            other, [(Prompt("c", "c", slice="critical"), dataclasses.replace(FULL, repeatability=None))]
        )
        ledger.fail_attempt(ledger.open_attempt(other, 4.0), cost=1.0, unaccounted=0.5)
        ledger.record(KEY, [(Prompt("d", "d"), FULL)], [ledger.open_attempt(KEY, 4.0)])
        ledger._database.execute("UPDATE attempts SET created='2026-01-01T10:00:00.000+00:00'")
        by_slice = [
            (
                line.by["teacher"],
                line.by["slice"],
                line.answers,
                line.cost,
                line.unaccounted,
                line.input_tokens,
            )
            for line in ledger.spend_by("teacher", "slice")
        ]
        assert by_slice == [
            ("t", "critical", 1, 0.0, 0.0, 0),
            ("t", "normal", 4, 1.0, 0.0, 80),
            ("u", None, 0, 1.0, 0.5, 0),
            ("u", "critical", 1, 0.25, 0.0, 20),
        ]
        [first, today] = ledger.spend_by("day")
        assert (first.by["day"], first.spent, today.answers) == ("2026-01-01", 1.5, 6)
        for groups in (["teacher"], ["day", "slice"], ["model", "status"]):
            assert sum(line.spent for line in ledger.spend_by(*groups)) == ledger.spent() == 2.75
        t, u = ledger.summary()
        assert (t.repeatability, u.repeatability, t.models) == (0.75, None, {"m-1": 4})
        for groups in ([], ["cost"], ["teacher; DROP TABLE answers"]):
            with pytest.raises(UsageError, match="spend_by was asked for"):
                ledger.spend_by(*groups)


def test_what_was_spent_is_known_without_reading_the_answers(tmp_path: Path) -> None:
    """However many there are, `status` and the start of a run wait for none of them."""
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        asked: list[str] = []
        ledger._database.set_trace_callback(asked.append)
        ledger.summary(), ledger.spent(), ledger.spent("t"), ledger.spend_by("teacher", "day", "slice")
        ledger._database.set_trace_callback(None)
        plans = [row[3] for query in asked for row in ledger._select(f"EXPLAIN QUERY PLAN {query}")]
    assert sum("spending" in plan for plan in plans) >= 6
    assert [plan for plan in plans if "answers" in plan] == []


def test_sums_follow_answers_that_are_taken_out_by_hand(tmp_path: Path) -> None:
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        prompts = [Prompt(str(i), f"n {i}") for i in range(3)]
        ledger.record(KEY, [(prompt, FULL) for prompt in prompts])
        ledger._database.execute("DELETE FROM answers WHERE prompt_hash=?", (prompts[0].hash,))
        assert (ledger.spent(), ledger.summary()[0].answers, ledger.summary()[0].repeatability) == (
            0.5,
            2,
            0.75,
        )
        ledger._database.execute("DELETE FROM answers")
        assert ledger.spend_by("slice") == ledger.summary() == []


def test_a_usable_answer_is_one_of_status_ok_under_the_key(tmp_path: Path) -> None:
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(Prompt("1", "x"), BAD)])
        assert not ledger.has_usable(KEY)
        ledger.record(KEY, [(Prompt("2", "y"), FULL)])
        assert ledger.has_usable(KEY) and not ledger.has_usable(LedgerKey("t", "other", "v"))


@pytest.fixture(params=[1, 2])
def old_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A ledger as the steps of an older version made it, with answers and calls in it."""
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as database:
        for step in STEPS[: request.param]:
            database.executescript(step)
        for bound, state in ((1.0, "answered"), (2.0, "free"), (4.0, "unaccounted"), (8.0, "open")):
            database.execute(
                "INSERT INTO attempts (teacher, revision, bound, state, created) VALUES ('t', 'r', ?, ?, ?)",
                (bound, state, "2026-01-02T00:00:00"),
            )
        if request.param == 2:
            database.execute("UPDATE attempts SET unaccounted=bound WHERE state='unaccounted'")
        distribution = np.array([0.25, 0.75], dtype="<f4").tobytes()
        for number in range(3):
            row = (KEY.teacher, KEY.revision, KEY.task_version, Prompt("", f"old {number}").hash)
            rest = ("ok", '"a"', distribution, "votes", "raw", "", "m-1", 20, 5, 0.5, 1.5, 2)
            day = "2026-01-01T23:59:59" if number else "2026-01-02T00:00:00"
            database.execute(f"INSERT INTO answers VALUES ({','.join('?' * 17)})", (*row, *rest, day))
        database.execute(f"PRAGMA user_version={request.param}")
    database.close()
    return path


def test_a_file_of_an_older_version_is_brought_up_to_date(old_file: Path) -> None:
    hashes = [Prompt("", f"old {number}").hash for number in range(3)]
    for _ in range(2):
        with AnswerLedger(old_file) as ledger:
            assert ledger.spent() == 12.0 + 1.5
            assert ledger._select("PRAGMA user_version") == [(SCHEMA_VERSION,)]
            ledger.keep_replies(KEY, {"h": ["a"]})
            back = ledger.get_many(KEY, hashes)
            assert len(back) == 3
            answer = back[hashes[0]]
            assert (answer.value, answer.usage) == ("a", Usage(20, 5, 0.5, 1.5, 2))
            assert (answer.rationale, answer.tokens, answer.repeatability) == ("", b"", None)
            days = {
                line.by["day"]: (line.answers, line.cost, line.unaccounted) for line in ledger.spend_by("day")
            }
            assert days == {"2026-01-01": (2, 1.0, 0.0), "2026-01-02": (1, 0.5, 12.0)}
            [old, without] = ledger.spend_by("slice")[::-1]
            assert (old.by["slice"], old.answers, without.by["slice"]) == ("", 3, None)
    with AnswerLedger(old_file) as ledger:
        ledger.record(KEY, [(Prompt("1", "new"), FULL)])
        assert ledger.get_many(KEY, [Prompt("1", "new").hash])[Prompt("1", "new").hash].repeatability == 0.75


def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    AnswerLedger(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(UsageError, match="newer Tutelage"):
        AnswerLedger(path)


def test_files_that_are_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"id,text\n" * 1000)
    with pytest.raises(IntegrityError, match="no answer ledger"):
        AnswerLedger(tmp_path / "a.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="can't be used"):
        AnswerLedger(tmp_path / "folder")


def test_ten_thousand_answers_take_no_time(tmp_path: Path) -> None:
    pairs = [(Prompt(str(i), f"text {i}"), FULL) for i in range(10_000)]
    hashes = [prompt.hash for prompt, _ in pairs]
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        started = time.process_time()
        ledger.record(KEY, pairs)
        assert len(ledger.answered(KEY, hashes)) == 10_000
        assert len(ledger.get_many(KEY, hashes)) == 10_000
        assert time.process_time() - started < 3.0


def test_status_can_read_it_without_heavy_imports() -> None:
    program = (
        "import sys, tutelage.labelling; "
        "print([name for name in ('numpy', 'pyarrow', 'openai', 'stamina', 'torch', 'sklearn') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
