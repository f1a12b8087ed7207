from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.labelling.ledger import _STEPS, SCHEMA_VERSION
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
        ledger.record(KEY, [(Prompt("1", "x"), FULL)], answered)
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


def test_a_usable_answer_is_one_of_status_ok_under_the_key(tmp_path: Path) -> None:
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(Prompt("1", "x"), BAD)])
        assert not ledger.has_usable(KEY)
        ledger.record(KEY, [(Prompt("2", "y"), FULL)])
        assert ledger.has_usable(KEY) and not ledger.has_usable(LedgerKey("t", "other", "v"))


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(_STEPS[0])
        for bound, state in ((1.0, "answered"), (2.0, "free"), (4.0, "unaccounted"), (8.0, "open")):
            database.execute(
                "INSERT INTO attempts (teacher, revision, bound, state, created) VALUES ('t', 'r', ?, ?, '')",
                (bound, state),
            )
        database.execute("PRAGMA user_version=1")
    database.close()
    for _ in range(2):
        with AnswerLedger(path) as ledger:
            assert ledger.spent() == 12.0
            assert ledger._select("PRAGMA user_version") == [(SCHEMA_VERSION,)]
            ledger.keep_replies(KEY, {"h": ["a"]})


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
