from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faulty_teacher import FaultyTeacher, Outcome, completion, error
from tutelage.config import LabellingConfig, OpenAITeacherConfig, PriceConfig
from tutelage.errors import (
    BudgetExhausted,
    DataError,
    TeacherRefusesAccess,
    TeacherUnavailable,
)
from tutelage.labelling import AnswerLedger, LedgerKey, ask, label
from tutelage.labelling.asking import in_batches
from tutelage.records import Answer, AnswerStatus, Prompt, Usage
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers.openai import OpenAITeacher

TASK = Classify(("refund", "card", "card stolen"))
QUICK = LabellingConfig(concurrency=4, attempts=3, wait=0.001)


def prompts(count: int) -> list[Prompt]:
    return [Prompt(str(number), f"prompt {number}") for number in range(count)]


SLOW = 0.3  # seconds that a call waits where one is scripted to take a second; elsewhere none gives up


def at(server: FaultyTeacher, **settings: Any) -> OpenAITeacher:
    usual = {"rights": "own", "model": "scripted-1", "base_url": server.url, "timeout": 60.0, "samples": 1}
    config = OpenAITeacherConfig(**(usual | settings))
    return OpenAITeacher(config, TeacherContext(TASK, (), Path()))


class Local:
    """A teacher that computes in a thread, `seconds` a call, and costs nothing."""

    def __init__(self, batch_size: int = 8, seconds: float = 0.0, price: float = 0.0) -> None:
        self.name, self.revision = "local", "1"
        self.paid, self.batch_size, self.concurrency = price > 0, batch_size, 1
        self._seconds, self._price = seconds, price
        self.calls: list[list[str]] = []

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        return 2 * self._price * len(prompts)

    def compute(self, prompts: Sequence[Prompt]) -> list[Answer]:
        self.calls.append([prompt.text for prompt in prompts])
        time.sleep(self._seconds)
        row = np.array([0.2, 0.7, 0.1], dtype=np.float32)
        return [Answer(AnswerStatus.OK, "card", row, usage=Usage(cost=self._price)) for _ in prompts]

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        return await asyncio.to_thread(self.compute, prompts)

    async def close(self) -> None:
        pass


class Bar:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.total: int | None = 0
        self.done = 0
        self.notes: list[str] = []
        self.told: list[str] = []

    def stage(self, name: str, text: str, *, quiet: bool = False) -> None:
        pass

    def note(self, text: str) -> None:
        self.told.append(text)

    def warn(self, text: str) -> None:
        self.told.append(text)

    @contextmanager
    def track(self, description: str, total: int | None, unit: str, done: int = 0) -> Iterator[Bar]:
        self.total, self.done = total, done
        yield self

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.notes.append(note)


def kept(ledger: AnswerLedger, teacher: Any, asked: Sequence[Prompt]) -> dict[str, Answer]:
    """Answers on disk by prompt text."""
    found = ledger.get_many(LedgerKey.of(teacher, TASK), [prompt.hash for prompt in asked])
    return {prompt.text: found[prompt.hash] for prompt in asked if prompt.hash in found}


def test_each_text_is_asked_once(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    asked = [*prompts(5), Prompt("again", "prompt 3", slice="critical")]
    teacher = at(faulty_teacher)
    bar = Bar()
    report = label(asked, teacher, TASK, ledger, QUICK, bar)
    assert (report.asked, report.reused, report.failed, report.by_status) == (5, 0, 0, {"ok": 5})
    assert (bar.total, bar.done) == (5, 5)
    report = label([*asked, Prompt("new", "new")], teacher, TASK, ledger, QUICK, bar)
    assert (report.asked, report.reused) == (1, 5)
    assert (bar.total, bar.done) == (6, 6)
    assert label([], teacher, TASK, ledger, QUICK).asked == 0
    assert set(faulty_teacher.served.values()) == {1} and len(faulty_teacher.served) == 6


def test_every_fault_at_once_ends_with_every_prompt_answered(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    """A third of the calls fails in passing; what models say badly is kept, and none of it is coerced."""
    passing = ["429 seconds", "429 ms", "429", "500", "502", "503", "529", "drop", "slow", "error in body"]
    passing += ["malformed body", "empty body", "no choices", "list body", "deep body"]
    bad = {
        "empty": "unparseable",
        "truncated": "unparseable",
        "prose": "unparseable",
        "wrong schema": "unparseable",
        "wrong type": "unparseable",
        "duplicate keys": "unparseable",
        "out of set": "out_of_set",
        "lone surrogate": "out_of_set",
        "invalid utf-8": "unparseable",
        "refusal": "refused",
        "refusal in words": "refused",
        "filtered": "refused",
    }
    asked = prompts(60)
    for prompt, outcome in zip(asked, passing, strict=False):
        faulty_teacher.script(prompt.text, [outcome])
    for prompt, outcome in zip(asked[20:], bad, strict=False):
        faulty_teacher.script(prompt.text, [outcome])
    teacher = at(faulty_teacher, timeout=SLOW)
    report = label(asked, teacher, TASK, ledger, QUICK.model_copy(update={"attempts": 10}))
    answers = kept(ledger, teacher, asked)
    assert len(answers) == report.asked == 60 and report.failed == 0
    for prompt, status in zip(asked[20:], bad.values(), strict=False):
        assert (answers[prompt.text].status, answers[prompt.text].value) == (status, None)
        assert answers[prompt.text].reason
    assert report.by_status == {"ok": 48, "out_of_set": 2, "refused": 3, "unparseable": 7}
    # More of them where the machine halts for longer than a call waits.
    by_clock = report.faults["time-out"] - 1
    assert by_clock >= 0 and report.again == len(passing) + by_clock
    assert 0 <= faulty_teacher.served.total() - 60 - len(passing) <= by_clock


def test_the_wait_is_the_teachers_where_it_says_one(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    headers = {"Retry-After": "0.4"}
    faulty_teacher.script("prompt 0", [Outcome(429, error("slow"), headers)])
    started = time.monotonic()
    label(prompts(1), at(faulty_teacher), TASK, ledger, QUICK)
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize("batch_size,price", [(1, 0.0), (4, 0.5)])
def test_no_call_is_made_before_the_last_answer_is_on_disk(
    ledger: AnswerLedger, batch_size: int, price: float
) -> None:
    asked = prompts(12)

    class Looking(Local):
        def compute(self, prompts: Sequence[Prompt]) -> list[Answer]:
            assert len(kept(ledger, self, asked)) == len(self.calls) * batch_size
            return super().compute(prompts)

    assert label(asked, Looking(batch_size, price=price), TASK, ledger, QUICK).by_status == {"ok": 12}


def test_failures_are_left_for_the_next_run(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script("prompt 2", ["500"] * 3)
    teacher = at(faulty_teacher)
    report = label(prompts(5), teacher, TASK, ledger, QUICK)
    assert (report.asked, report.failed, report.by_status) == (5, 1, {"ok": 4})
    assert faulty_teacher.served["prompt 2"] == 3
    assert report.failed_prompts == (prompts(5)[2].hash,)
    assert "prompt 2" not in kept(ledger, teacher, prompts(5))
    report = label(prompts(5), teacher, TASK, ledger, QUICK)
    assert (report.asked, report.reused, report.failed) == (1, 4, 0)


def test_prompts_that_never_succeed_do_not_block_where_few_enough_are_left(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    asked, teacher = prompts(60), at(faulty_teacher)
    some = QUICK.model_copy(update={"max_failed_share": 0.2})
    for prompt in asked[::5]:
        faulty_teacher.script(prompt.text, ["500"] * 99)
    report = label(asked, teacher, TASK, ledger, some)
    stubborn = {prompt.hash for prompt in asked[::5]}
    assert (report.failed, report.by_status, set(report.failed_prompts)) == (12, {"ok": 48}, stubborn)
    report = label(asked, teacher, TASK, ledger, some)  # nothing but stubborn ones, and no stop
    assert (report.asked, report.failed, report.again) == (12, 12, 24)
    down = some.model_copy(update={"max_failed_share": 0.01, "patience": 0.01})
    with pytest.raises(TeacherUnavailable, match=r"labelling\.patience is 0\.01"):  # it could be down
        label(asked, teacher, TASK, ledger, down)


def test_a_rejected_prompt_is_kept_once_another_was_answered(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script("prompt 0", ["400"])
    faulty_teacher.script("prompt 1", ["400"])
    teacher, bar = at(faulty_teacher), Bar()
    one_by_one = QUICK.model_copy(update={"concurrency": 1})
    report = label(prompts(6), teacher, TASK, ledger, one_by_one, bar)
    assert (report.by_status, report.failed, bar.done) == ({"ok": 4, "unparseable": 2}, 0, 6)
    assert "answered 400" in kept(ledger, teacher, prompts(1))["prompt 0"].reason
    faulty_teacher.script("new", ["400"])  # the earlier run cleared the request
    assert label([Prompt("n", "new")], teacher, TASK, ledger, one_by_one).by_status == {"unparseable": 1}


@pytest.mark.parametrize("price", [None, PriceConfig(input=1.0, output=1.0)])
def test_rejections_without_any_answer_are_not_kept(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher, price: PriceConfig | None
) -> None:
    faulty_teacher.default = Outcome(400, error("no"))
    teacher = at(faulty_teacher, price=price)
    report = label(prompts(3), teacher, TASK, ledger, QUICK)
    assert (report.asked, report.failed, report.by_status) == (3, 3, {})
    with pytest.raises(TeacherRefusesAccess, match=r"\d prompts were rejected and none was answered"):
        label(prompts(100), teacher, TASK, ledger, QUICK)
    assert len(faulty_teacher.requests) <= 3 + 4 + QUICK.concurrency
    assert kept(ledger, teacher, prompts(100)) == {} and ledger.spent() == 0.0
    faulty_teacher.default = Outcome(body=completion('{"label": "card"}'))
    assert label(prompts(100), at(faulty_teacher), TASK, ledger, QUICK).by_status == {"ok": 100}


def test_rejections_with_a_known_reason_are_kept_at_once(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.default = Outcome(400, error("This model's maximum context length is 8 tokens"))
    assert label(prompts(5), at(faulty_teacher), TASK, ledger, QUICK).by_status == {"unparseable": 5}


def test_refused_access_stops_at_once_and_keeps_what_there_is(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    asked = prompts(200)
    faulty_teacher.script("prompt 0", ["500"])
    faulty_teacher.script("prompt 40", ["401"])
    teacher = at(faulty_teacher)
    started = time.monotonic()
    with pytest.raises(TeacherRefusesAccess, match="401"):
        label(asked, teacher, TASK, ledger, QUICK.model_copy(update={"wait": 3_000.0}))
    assert time.monotonic() - started < 300  # the call that waits 3,000 s is not waited for
    served = faulty_teacher.served
    assert served.total() <= 41 + QUICK.concurrency
    answers = kept(ledger, teacher, asked)
    assert set(served) - set(answers) == {"prompt 0", "prompt 40"}  # calls under way were waited for
    assert label(asked, teacher, TASK, ledger, QUICK).reused == len(answers)


def test_concurrency_is_the_teachers_or_the_configurations(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.delay = 0.02
    teacher = at(faulty_teacher)
    label(prompts(20), teacher, TASK, ledger, QUICK)
    assert faulty_teacher.most_under_way == 4
    faulty_teacher.most_under_way = 0
    teacher.concurrency = 2
    label([Prompt(str(n), f"other {n}") for n in range(10)], teacher, TASK, ledger, QUICK)
    assert faulty_teacher.most_under_way == 2


def test_another_model_is_reported(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script("prompt 0", ["wrong model"])
    faulty_teacher.script("prompt 1", ["dated model"])
    teacher = at(faulty_teacher)
    assert label(prompts(3), teacher, TASK, ledger, QUICK).other_models == {"other-2": 1}
    assert kept(ledger, teacher, prompts(3))["prompt 0"].model == "other-2"


PRICE = PriceConfig(input=100.0, output=1000.0)


def test_the_budget_is_never_passed(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    """Every call is billed at what it reports; the run stops while the bound of one more call would pass."""
    teacher = at(faulty_teacher, price=PRICE)
    asked = prompts(60)
    cost, bound = (20 * 100 + 5 * 1000) / 1e6, teacher.most_expensive(asked[-1:])
    budget = 20 * cost + bound
    config = QUICK.model_copy(update={"budget": budget})
    bar = Bar()
    with pytest.raises(
        BudgetExhausted, match=r"is spent.*remains.*remain.*labelling\.budget.*traffic\.limit"
    ):
        label(asked, teacher, TASK, ledger, config, bar)
    answers = kept(ledger, teacher, asked)
    assert ledger.spent() == pytest.approx(len(answers) * cost) and ledger.spent() <= budget
    assert len(answers) in {20, 21}  # all that it could bear: calls under way are waited for
    assert faulty_teacher.served.total() == len(answers) == bar.done
    assert bar.notes[-1].startswith("$0.1")
    with pytest.raises(BudgetExhausted):  # over a restart too
        label(asked, teacher, TASK, ledger, config)
    assert faulty_teacher.served.total() == len(answers)
    report = label(asked, teacher, TASK, ledger, QUICK.model_copy(update={"budget": budget + 60 * cost}))
    assert report.reused == len(answers) and report.cost == pytest.approx((60 - len(answers)) * cost)
    assert set(faulty_teacher.served.values()) == {1}


def test_no_budget_pays_for_nothing(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    none = QUICK.model_copy(update={"budget": 0.0})
    with pytest.raises(BudgetExhausted):
        label(prompts(3), at(faulty_teacher, price=PRICE), TASK, ledger, none)
    assert not faulty_teacher.requests
    assert label(prompts(3), at(faulty_teacher), TASK, ledger, none).by_status == {"ok": 3}


def test_calls_without_an_account_count_at_their_bound(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    teacher = at(faulty_teacher, price=PRICE)
    bound = teacher.most_expensive(prompts(1))
    cost = (20 * 100 + 5 * 1000) / 1e6
    faulty_teacher.script("prompt 0", ["malformed body", "429", "ok"])
    report = label(prompts(1), teacher, TASK, ledger, QUICK)
    assert report.cost == ledger.spent() == pytest.approx(bound + cost)
    [summary] = ledger.summary()
    assert (summary.attempts, summary.unaccounted) == (3, pytest.approx(bound))


def test_money_left_open_by_a_killed_run_counts(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    teacher = at(faulty_teacher, price=PRICE)
    bound = teacher.most_expensive(prompts(1))
    ledger.open_attempt(LedgerKey.of(teacher, TASK), bound)
    with pytest.raises(BudgetExhausted):
        label(prompts(1), teacher, TASK, ledger, QUICK.model_copy(update={"budget": 1.5 * bound}))
    assert not faulty_teacher.requests


def test_batches_are_of_like_length_and_the_longest_come_first() -> None:
    mixed = [Prompt(str(n), "x" * (n * 7 % 10)) for n in range(10)]
    batches = list(in_batches(mixed, 4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    lengths = [len(prompt.text) for batch in batches for prompt in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert [batch[0] for batch in in_batches(mixed, 1)] == mixed


@pytest.mark.long  # timed: only an idle machine tells
def test_local_teachers_keep_nine_tenths_of_their_bare_speed(tmp_path: Path) -> None:
    asked = [Prompt(str(n), f"{n} " + "x" * (n % 50)) for n in range(64 * 40)]
    shares = []
    for attempt in range(3):
        teacher = Local(batch_size=64, seconds=0.02)

        async def bare(teacher: Local = teacher) -> float:
            started = time.monotonic()
            for batch in in_batches(asked, 64):
                await teacher.answer(batch)
            return time.monotonic() - started

        alone = asyncio.run(bare())
        with AnswerLedger(tmp_path / f"{attempt}.sqlite") as ledger:
            report = label(asked, teacher, TASK, ledger, QUICK)
            assert len(kept(ledger, teacher, asked)) == len(asked)
        assert teacher.calls[:40] == teacher.calls[40:]
        shares.append(alone / report.seconds)
        if shares[-1] >= 0.9:
            return
    pytest.fail(f"shares of the bare loop's speed: {shares}")


def test_a_teachers_own_bug_ends_the_run_with_its_error(ledger: AnswerLedger) -> None:
    class Broken(Local):
        def compute(self, prompts: Sequence[Prompt]) -> list[Answer]:
            if "prompt 0" in [prompt.text for prompt in prompts]:
                raise ZeroDivisionError("bug")
            return super().compute(prompts)

    teacher = Broken(batch_size=1)
    teacher.concurrency = 4
    with pytest.raises(ZeroDivisionError):
        label(prompts(50), teacher, TASK, ledger, QUICK)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_disk_that_takes_no_more_ends_the_run(tmp_path: Path, batch_size: int) -> None:
    path = tmp_path / "a.sqlite"
    with AnswerLedger(path) as ledger:
        label(prompts(8), Local(), TASK, ledger, QUICK)
        [(pages,)] = ledger._select("PRAGMA page_count")
        ledger._select(f"PRAGMA max_page_count={pages + 2}")
        teacher = Local(batch_size=batch_size, seconds=0.001)
        with pytest.raises(DataError, match="full"):
            label([Prompt(str(n), f"{n}" * 500) for n in range(4000)], teacher, TASK, ledger, QUICK)
        assert len(teacher.calls) < 200  # not worked on for nothing
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_failed_call_costs_what_its_error_tells(ledger: AnswerLedger) -> None:
    """Errors of plugins that know of no money stay as they were."""
    known = TeacherUnavailable("x", spent=0.25, unaccounted=0.5)
    errors = [TeacherUnavailable("x"), TeacherUnavailable("x", billed=True), known]

    class Failing(Local):
        def compute(self, prompts: Sequence[Prompt]) -> list[Answer]:
            if errors:
                raise errors.pop(0)
            return super().compute(prompts)

    teacher = Failing(batch_size=1, price=1.0)
    report = label(prompts(1), teacher, TASK, ledger, QUICK.model_copy(update={"attempts": 4}))
    assert ledger.spent() == report.cost == 0.0 + 2.0 + 0.75 + 1.0
    [summary] = ledger.summary()
    assert (summary.cost, summary.unaccounted, summary.spent) == (1.25, 2.5, 3.75)


def test_paid_batches_are_reserved_as_a_whole(ledger: AnswerLedger) -> None:
    teacher = Local(batch_size=4, price=1.0)
    with pytest.raises(BudgetExhausted):
        label(prompts(12), teacher, TASK, ledger, QUICK.model_copy(update={"budget": 11.0}))
    assert ledger.spent() == 4.0 and len(teacher.calls) == 1


def test_retries_stay_off_the_terminal(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher, capfd: pytest.CaptureFixture[str]
) -> None:
    faulty_teacher.script("prompt 0", ["500"])
    label(prompts(1), at(faulty_teacher), TASK, ledger, QUICK)
    assert capfd.readouterr() == ("", "")


def test_inside_an_event_loop(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.default = Outcome(body=completion('{"label": "card"}'))

    async def from_a_loop() -> int:
        return (await ask(prompts(3), at(faulty_teacher), TASK, ledger, QUICK)).asked

    assert asyncio.run(from_a_loop()) == 3


def test_no_more_tasks_than_calls_under_way(ledger: AnswerLedger) -> None:
    most = 0

    class Instant(Local):
        async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
            nonlocal most
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)
            return self.compute(prompts)

    teacher = Instant(batch_size=1)
    teacher.concurrency = 8
    assert label(prompts(2000), teacher, TASK, ledger, QUICK).by_status == {"ok": 2000}
    assert most <= 8 + 3  # the run, and the recorder


def test_the_report_tells_of_repeats_latency_and_faults(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    class Repeating(Local):
        def compute(self, prompts: Sequence[Prompt]) -> list[Answer]:
            numbers = [int(prompt.id) for prompt in prompts]
            if 3 in numbers and len(self.calls) < 2:
                self.calls.append([])
                raise TeacherUnavailable("busy", fault="503")
            return [
                Answer(
                    AnswerStatus.OK,
                    "card",
                    usage=Usage(latency=float(number + 1)),
                    repeatability=None if number >= 50 else number / 100,
                )
                for number in numbers
            ]

    report = label(prompts(100), Repeating(batch_size=1), TASK, ledger, QUICK)
    assert (report.latency_p50, report.latency_p95) == (50.0, 95.0)
    assert report.repeatability == pytest.approx(sum(range(50)) / 50 / 100)
    assert (report.again, report.faults, report.at_once) == (2, {"503": 2}, 1)
    without = label(prompts(3), at(faulty_teacher), TASK, ledger, QUICK)
    assert without.repeatability is None and without.latency_p50 is not None
    assert label([], at(faulty_teacher), TASK, ledger, QUICK).latency_p50 is None


def test_faults_of_an_endpoint_are_told_by_kind(ledger: AnswerLedger, faulty_teacher: FaultyTeacher) -> None:
    passing = {"429": "429", "500": "500", "drop": "connection", "slow": "time-out", "malformed body": "body"}
    for prompt, outcome in zip(prompts(5), passing, strict=True):
        faulty_teacher.script(prompt.text, [outcome])
    config = QUICK.model_copy(update={"attempts": 10})
    report = label(prompts(5), at(faulty_teacher, timeout=SLOW), TASK, ledger, config)
    # One of each, and more time-outs where the machine halts for longer than a call waits.
    assert report.faults | {"time-out": 1} == dict.fromkeys(passing.values(), 1) and report.failed == 0
    assert report.faults["time-out"] >= 1


def test_the_pace_is_found_at_a_real_endpoint_and_an_outage_is_waited_for(
    ledger: AnswerLedger, faulty_teacher: FaultyTeacher
) -> None:
    """The endpoint is down from its 300th request on, and well again once the run has said that it is down."""

    class Mending(Bar):
        def warn(self, text: str) -> None:
            super().warn(text)
            faulty_teacher.outage(0.0, "503")

    faulty_teacher.delay, bar = 0.02, Mending()
    faulty_teacher.outage_at = (300, 3_600.0, "503")
    # Two: an answer that was on its way when the outage began makes those that failed before it count once.
    config = LabellingConfig(concurrency=16, wait=0.02, attempts=2)
    report = label(prompts(600), at(faulty_teacher), TASK, ledger, config, bar)
    assert (report.by_status, report.failed) == ({"ok": 600}, 0)
    assert report.at_once == faulty_teacher.most_under_way == 16
    assert set(report.faults) == {"503"} and report.again <= 2 * 16 + 10 + 10
    assert len(bar.told) == 2 and "seems to be down" in bar.told[0]
