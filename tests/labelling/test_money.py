"""What the ledger says was spent is what the endpoint charged, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from faulty_teacher import OUTCOMES, FaultyTeacher, Outcome, completion
from tutelage.config import LabellingConfig, OpenAITeacherConfig, PriceConfig
from tutelage.errors import BudgetExhausted, TeacherRefusesAccess, TutelageError
from tutelage.labelling import AnswerLedger, LedgerKey, SecondAsking, ask, label
from tutelage.records import Answer, AnswerStatus, Prompt, Usage
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers.openai import OpenAITeacher

TASK = Classify(("refund", "card", "card stolen"))
PRICE = PriceConfig(input=100.0, output=1000.0)
COST = (20 * 100 + 5 * 1000) / 1e6  # of one proper reply
QUICK = LabellingConfig(concurrency=4, attempts=3, wait=0.001, max_failed_share=0.0)

FREE = ["429", "500", "503", "error in body", "400", "filtered", "too long"]
UNKNOWN = ["drop", "malformed body", "empty body", "no choices", "list body"]
CHARGED = ["ok"] * 8 + ["prose", "out of set", "truncated", "refusal", "null", "invalid utf-8"]
FINAL = ["429 no credit", "402"]


def prompts(count: int) -> list[Prompt]:
    return [Prompt(str(number), f"prompt {number}") for number in range(count)]


def teacher_at(server: FaultyTeacher, **settings: Any) -> OpenAITeacher:
    usual = {"rights": "own", "model": "scripted-1", "base_url": server.url, "price": PRICE}
    return OpenAITeacher(OpenAITeacherConfig(**(usual | settings)), TeacherContext(TASK, (), Path()))


class Charging:
    """Makes every request's outcome by chance, and writes down what was charged for it."""

    def __init__(self, server: FaultyTeacher, seed: int, final: float) -> None:
        self._chance, self._final = random.Random(seed), final
        self.charged = 0.0  # by replies that arrive with their account
        self.lost: Counter[str] = Counter()  # requests whose fate the client can't know, by prompt text
        self.names: Counter[str] = Counter()
        server.take = self._take  # type: ignore[method-assign]
        self._server = server

    def _take(self, request: dict[str, Any], headers: Any) -> Outcome:
        with self._server._lock:
            self._server.requests.append(request)
            kinds = [CHARGED, FREE, UNKNOWN, FINAL]
            weights = [0.7, 0.2, 0.1 - self._final, self._final]
            [kind] = self._chance.choices(kinds, weights)
            name = self._chance.choice(kind)
            self.names[name] += 1
            if kind is CHARGED:
                self.charged += COST
            if kind is UNKNOWN:
                self.lost[request["messages"][-1]["content"]] += 1
            return OUTCOMES[name]()


@pytest.mark.parametrize("samples", [1, 3, None])
@pytest.mark.parametrize("seed", range(8))
def test_the_ledger_says_what_was_charged(
    tmp_path: Path, faulty_teacher: FaultyTeacher, seed: int, samples: int | None
) -> None:
    """Over several processes: a run that is refused is followed by one with a new teacher."""
    server = Charging(faulty_teacher, seed, final=0.02)
    asked = prompts(25)
    one = {prompt.text: teacher_at(faulty_teacher, samples=1).most_expensive([prompt]) for prompt in asked}
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        for run in range(12):
            teacher, before = teacher_at(faulty_teacher, samples=samples), ledger.spent()
            try:
                report = label(asked, teacher, TASK, ledger, QUICK)
                assert report.cost == pytest.approx(ledger.spent() - before)
            except TutelageError as error:
                print(run, type(error).__name__)
            unknown = sum(one[text] * count for text, count in server.lost.items())
            assert ledger.spent() == pytest.approx(server.charged + unknown)
            [summary] = ledger.summary()
            assert summary.cost == pytest.approx(server.charged)
            assert summary.unaccounted == pytest.approx(unknown)
        print(dict(server.names))  # shown where the test fails


def test_a_refusal_after_paid_samples_is_no_free_call_and_loses_no_reply(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script("prompt 0", ["ok", "ok", "429 no credit"])
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        with pytest.raises(TeacherRefusesAccess):
            label(prompts(1), teacher_at(faulty_teacher, samples=3), TASK, ledger, QUICK)
        assert ledger.spent() == pytest.approx(2 * COST)
        report = label(prompts(1), teacher_at(faulty_teacher, samples=3), TASK, ledger, QUICK)
        assert (report.by_status, report.cost) == ({"ok": 1}, pytest.approx(COST))
        assert ledger.spent() == pytest.approx(3 * COST)
        assert faulty_teacher.served == {"prompt 0": 4}  # 2 paid, 1 turned down, 1 that was missing


def test_samples_that_are_kept_are_reserved_and_booked_once(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script("prompt 0", ["ok", "ok", "500", "500"])
    teacher = teacher_at(faulty_teacher, samples=3)
    whole = teacher.most_expensive(prompts(1))
    config = QUICK.model_copy(update={"budget": whole + 0.1 * COST})  # too little for another whole call
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        report = label(prompts(1), teacher, TASK, ledger, config)
        assert report.cost == ledger.spent() == pytest.approx(3 * COST)
        [summary] = ledger.summary()
        assert (summary.unaccounted, summary.attempts) == (0.0, 3)


def stopped_by_budget(server: FaultyTeacher, teacher: OpenAITeacher) -> LabellingConfig:
    return QUICK.model_copy(update={"budget": 10 * COST + teacher.most_expensive(prompts(1))})


def stopped_by_refusal(server: FaultyTeacher, teacher: OpenAITeacher) -> LabellingConfig:
    server.script("prompt 20", ["401"])
    return QUICK


@pytest.mark.parametrize("stopped", [stopped_by_budget, stopped_by_refusal])
def test_a_stopped_run_leaves_its_exact_cost(
    tmp_path: Path,
    faulty_teacher: FaultyTeacher,
    stopped: Callable[[FaultyTeacher, OpenAITeacher], LabellingConfig],
) -> None:
    teacher = teacher_at(faulty_teacher, samples=1)
    config = stopped(faulty_teacher, teacher)
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        label([Prompt("0", "before")], teacher, TASK, ledger, QUICK)
        before = ledger.spent()
        with pytest.raises((BudgetExhausted, TeacherRefusesAccess)):
            label(prompts(60), teacher, TASK, ledger, config)
        served = faulty_teacher.served.total() - 1 - (stopped is stopped_by_refusal)
        assert ledger.spent() - before == pytest.approx(served * COST)


def test_an_interrupted_run_leaves_the_bound_of_what_was_under_way(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script("prompt 5", [Outcome(body=completion("late"), delay=600.0)])
    teacher = teacher_at(faulty_teacher, samples=1)

    async def interrupted(ledger: AnswerLedger) -> None:
        run = asyncio.create_task(ask(prompts(6), teacher, TASK, ledger, QUICK))
        while len(ledger.answered(LedgerKey.of(teacher, TASK), [p.hash for p in prompts(6)])) < 5:
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        asyncio.run(interrupted(ledger))
        bound = teacher.most_expensive(prompts(6)[5:])
        assert ledger.spent() == pytest.approx(5 * COST + bound)


def test_an_interrupt_before_a_call_costs_nothing(tmp_path: Path) -> None:
    """The call is written down and, as it is never made, closed again."""

    class NeverAsked:
        name, revision, paid, batch_size, concurrency = "t", "1", True, 1, 4

        def most_expensive(self, prompts: Sequence[Prompt]) -> float:
            return 1.0

        async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
            raise AssertionError("asked after the interrupt")

        async def close(self) -> None:
            pass

    class Interrupting(AnswerLedger):
        run: asyncio.Task[Any]
        loop: asyncio.AbstractEventLoop

        def open_attempts(self, key: LedgerKey, bounds: Sequence[float]) -> Sequence[int]:
            if not self.summary():
                self.loop.call_soon_threadsafe(self.run.cancel)
                while not self.run.cancelling():  # so that it arrives before this is committed
                    time.sleep(0.001)
            return super().open_attempts(key, bounds)

    async def interrupted(ledger: Interrupting) -> None:
        ledger.loop = asyncio.get_running_loop()
        ledger.run = asyncio.create_task(ask(prompts(9), NeverAsked(), TASK, ledger, QUICK))
        with pytest.raises(asyncio.CancelledError):
            await ledger.run

    with Interrupting(tmp_path / "a.sqlite") as ledger:
        asyncio.run(interrupted(ledger))
        assert ledger.spent() == 0.0
        [summary] = ledger.summary()
        assert 1 <= summary.attempts <= 4


def test_calls_under_way_are_recorded_where_a_teacher_breaks_the_protocol(tmp_path: Path) -> None:
    class OneIsShort:
        name, revision, paid, batch_size, concurrency = "t", "1", True, 1, 4

        def most_expensive(self, prompts: Sequence[Prompt]) -> float:
            return 2.0

        async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
            if prompts[0].text == "prompt 1":
                return []
            await asyncio.sleep(0.05)
            return [Answer(AnswerStatus.OK, "card", usage=Usage(cost=1.0))]

        async def close(self) -> None:
            pass

    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        with pytest.raises(TutelageError, match="0 answers to 1 prompts"):
            label(prompts(40), OneIsShort(), TASK, ledger, QUICK)
        assert ledger.spent() == 3 * 1.0 + 2.0


def test_replies_are_kept_as_the_endpoint_sent_them(tmp_path: Path, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script("prompt 0", ["ok", "429 no credit"])
    teacher = teacher_at(faulty_teacher, samples=2)
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        with pytest.raises(TeacherRefusesAccess):
            label(prompts(1), teacher, TASK, ledger, QUICK)
        [[body]] = ledger.replies(LedgerKey.of(teacher, TASK)).values()
        assert json.loads(body)["usage"] == {"prompt_tokens": 20, "completion_tokens": 5}
        label(prompts(1), teacher, TASK, ledger, QUICK)  # the same teacher has it still
        assert ledger.replies(LedgerKey.of(teacher, TASK)) == {}
        assert ledger.spent() == pytest.approx(2 * COST)


def test_a_call_past_its_deadline_is_booked_and_what_it_brought_is_used(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    """Two samples came before the third stalled: their cost is known, and they aren't asked for again."""
    faulty_teacher.script("prompt 0", ["ok", "ok", Outcome(body=completion("late"), delay=600.0)])
    teacher = teacher_at(faulty_teacher, samples=3)
    bound = teacher.most_expensive(prompts(1))
    once = QUICK.model_copy(update={"deadline": 2.0, "attempts": 1})
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        report = label(prompts(1), teacher, TASK, ledger, once)
        assert (report.failed, report.faults) == (1, {"deadline": 1})
        [summary] = ledger.summary()
        assert summary.cost == pytest.approx(2 * COST)
        assert ledger.spent() == report.cost == pytest.approx(bound)
        [bodies] = ledger.replies(LedgerKey.of(teacher, TASK)).values()
        assert len(bodies) == 2
        for later in (teacher, teacher_at(faulty_teacher, samples=3)):  # this process, or another
            report = label(prompts(1), later, TASK, ledger, QUICK)
            assert report.by_status == ({"ok": 1} if later is teacher else {})
            assert ledger.spent() == pytest.approx(bound + COST)
        assert faulty_teacher.served == {"prompt 0": 4}


def test_an_interrupt_keeps_the_replies_that_came(tmp_path: Path, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script("prompt 0", ["ok", Outcome(body=completion("late"), delay=600.0)])
    teacher = teacher_at(faulty_teacher, samples=2)
    bound = teacher.most_expensive(prompts(1))

    async def interrupted(ledger: AnswerLedger) -> None:
        run = asyncio.create_task(ask(prompts(1), teacher, TASK, ledger, QUICK))
        while faulty_teacher.arrivals["prompt 0"] < 2:  # the second is asked once the first has come
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        asyncio.run(interrupted(ledger))
        assert ledger.spent() == pytest.approx(bound)
        report = label(prompts(1), teacher_at(faulty_teacher, samples=2), TASK, ledger, QUICK)
        assert report.cost == pytest.approx(COST) and faulty_teacher.served == {"prompt 0": 3}


def test_asked_again_what_came_is_booked_kept_and_used_as_in_the_first_asking(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script("prompt 0", ["ok", "ok", Outcome(body=completion("late"), delay=600.0)])
    again = SecondAsking(teacher_at(faulty_teacher, samples=3))
    bound = again.most_expensive(prompts(1))
    once = QUICK.model_copy(update={"deadline": 2.0, "attempts": 1})
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        label(prompts(1), again, TASK, ledger, once)
        [summary] = ledger.summary()
        assert (summary.cost, ledger.spent()) == (pytest.approx(2 * COST), pytest.approx(bound))
        later = SecondAsking(teacher_at(faulty_teacher, samples=3))
        assert label(prompts(1), later, TASK, ledger, QUICK).cost == pytest.approx(COST)
        assert faulty_teacher.served == {"prompt 0": 4}


def test_a_deadline_of_a_teacher_that_can_not_tell_counts_at_the_bound(tmp_path: Path) -> None:
    class Stalling:
        name, revision, paid, batch_size, concurrency = "t", "1", True, 1, 4
        stalls = True

        def most_expensive(self, prompts: Sequence[Prompt]) -> float:
            return 2.0

        async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
            if self.stalls:
                self.stalls = False
                await asyncio.sleep(60)
            return [Answer(AnswerStatus.OK, "card", usage=Usage(cost=1.0))]

        async def close(self) -> None:
            pass

    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        report = label(prompts(5), Stalling(), TASK, ledger, QUICK.model_copy(update={"deadline": 1.0}))
        assert report.by_status == {"ok": 5} and report.again == 1
        assert ledger.spent() == 5 * 1.0 + 2.0
