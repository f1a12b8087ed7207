"""What waits for the disk is written together: in few statements, all or nothing, and counted only then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import IntegrityError
from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.labelling.recorder import Recorder
from tutelage.records import Answer, AnswerStatus, Prompt, Usage

KEY = LedgerKey("teacher", "1", "v")
PROMPTS = [Prompt(str(number), f"text {number}") for number in range(100)]
ANSWER = Answer(AnswerStatus.OK, "refund", usage=Usage(10, 2, 0.5, 0.1, 1))


def test_calls_opened_together_get_their_own_numbers_and_answers_close_them(tmp_path: Path) -> None:
    counted: list[Answer] = []

    async def run(ledger: AnswerLedger) -> None:
        recorder = Recorder(ledger, KEY, counted.extend)
        openings = [recorder.open(float(1 << number)) for number in range(4)]
        await asyncio.gather(*(opening.done for opening in openings))
        assert len({opening.attempt for opening in openings}) == 4
        assert ledger.spent() == 15.0
        closed, failed = openings[2], openings[3]
        recorder.put(lambda: ledger.fail_attempt(failed.attempt, cost=0.25))
        await recorder.keep([(PROMPTS[0], ANSWER)], closed.attempt)
        assert counted == [ANSWER]
        assert ledger.spent() == 1.0 + 2.0 + 0.25 + 0.5
        await recorder.close()

    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        asyncio.run(run(ledger))


def test_many_answers_take_few_statements(tmp_path: Path) -> None:
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        statements: list[str] = []
        ledger._database.set_trace_callback(statements.append)
        _in_a_loop(ledger, lambda recorder: [recorder.keep([(prompt, ANSWER)], None) for prompt in PROMPTS])
        # Each is traced again at every firing of a trigger.
        assert len({said for said in statements if said.startswith(("INSERT INTO answers", "DELETE"))}) <= 5
        assert len(ledger.answered(KEY, [prompt.hash for prompt in PROMPTS])) == 100


def test_where_one_write_fails_none_is_kept_nor_counted(tmp_path: Path) -> None:
    counted: list[Answer] = []
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(PROMPTS[1], ANSWER)])

        def both(recorder: Recorder) -> list[asyncio.Future[Any]]:
            return [recorder.keep([(prompt, ANSWER)], None) for prompt in PROMPTS[:2]]

        with pytest.raises(IntegrityError):
            _in_a_loop(ledger, both, counted)
        assert counted == []
        assert ledger.answered(KEY, [prompt.hash for prompt in PROMPTS[:2]]) == {PROMPTS[1].hash}


def test_a_commit_waits_for_enough_writes_but_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []

    class Counted(AnswerLedger):
        def record(self, key: LedgerKey, answers: Any, *more: Any, **named: Any) -> None:
            commits.append(len(answers))
            super().record(key, answers, *more, **named)

    async def run(ledger: AnswerLedger) -> None:
        recorder = Recorder(ledger, KEY, lambda answers: None, lambda: 3)
        monkeypatch.setattr("tutelage.labelling.recorder.GATHERED", 60.0)
        futures = []
        for prompt in PROMPTS[:6]:
            await asyncio.sleep(0)
            futures.append(recorder.keep([(prompt, ANSWER)], None))
        await asyncio.gather(*futures)
        assert sum(commits) == 6 and len(commits) <= 2
        monkeypatch.setattr("tutelage.labelling.recorder.GATHERED", 0.001)
        await recorder.keep([(PROMPTS[6], ANSWER)], None)
        assert commits[-1] == 1
        monkeypatch.setattr("tutelage.labelling.recorder.GATHERED", 60.0)
        last = recorder.keep([(PROMPTS[7], ANSWER)], None)
        await recorder.close()
        assert last.done() and commits[-1] == 1

    with Counted(tmp_path / "a.sqlite") as ledger:
        asyncio.run(run(ledger))


def _in_a_loop(
    ledger: AnswerLedger,
    queue: Callable[[Recorder], list[asyncio.Future[Any]]],
    counted: list[Answer] | None = None,
) -> None:
    async def run() -> None:
        recorder = Recorder(ledger, KEY, ([] if counted is None else counted).extend)
        futures = queue(recorder)
        await asyncio.wait(futures)
        await recorder.close()

    asyncio.run(run())
