"""Batches are submitted once, collected by whichever run, and cost what was told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_server import BatchServer
from faulty_teacher import FaultyTeacher
from tutelage.config import AnthropicTeacherConfig, LabellingConfig, OpenAITeacherConfig
from tutelage.errors import (
    BudgetExhausted,
    ConfigError,
    TeacherRefusesAccess,
    TeacherUnavailable,
    UsageError,
)
from tutelage.labelling import AnswerLedger, LabellingReport, LedgerKey, ask, end_batches, label
from tutelage.records import AnswerStatus, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import Batched, TeacherContext
from tutelage.teachers._batch_providers import AnthropicBatches, OpenAIBatches
from tutelage.teachers.anthropic import AnthropicTeacher
from tutelage.teachers.openai import OpenAITeacher

TASK = Classify(("refund", "card", "card stolen"))
PROMPTS = [Prompt(str(number), f"prompt {number} " + "x" * (number % 7)) for number in range(20)]
PRICE = {"input": 100.0, "output": 1000.0, "batch_discount": 0.5}
COST = (20 * 100 + 5 * 1000) / 1e6 / 2  # of one request
KINDS = {
    "openai": (OpenAITeacher, OpenAITeacherConfig),
    "anthropic": (AnthropicTeacher, AnthropicTeacherConfig),
}


@pytest.fixture
def server(faulty_teacher: FaultyTeacher) -> BatchServer:
    return BatchServer(faulty_teacher)


def teacher_of(server: BatchServer, kind: str = "openai", **settings: Any) -> Any:
    usual = {
        "rights": "own",
        "model": "scripted-1",
        "base_url": server.teacher.url,
        "samples": 1,
        "batch": True,
    }
    teacher, config = KINDS[kind]
    return teacher(
        config.model_validate({**usual, "price": PRICE, **settings}), TeacherContext(TASK, (), Path())
    )


def run(
    server: BatchServer, ledger: AnswerLedger, prompts: Any = PROMPTS, **settings: Any
) -> LabellingReport:
    labelling = {"poll": 0.01, "wait": 0.001, "attempts": 3, "patience": 0.0, **settings.pop("labelling", {})}
    progress = settings.pop("progress", None)
    teacher = settings.pop("teacher", None) or teacher_of(server, **settings)

    async def asked() -> LabellingReport:
        try:
            config = LabellingConfig.model_validate(labelling)
            return await ask(prompts, teacher, TASK, ledger, config, progress)
        finally:
            await teacher.close()

    return asyncio.run(asked())


def key_of(server: BatchServer, **settings: Any) -> LedgerKey:
    return LedgerKey.of(teacher_of(server, **settings), TASK)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_answers_as_single_calls_do(server: BatchServer, ledger: AnswerLedger, kind: str) -> None:
    report = run(server, ledger, kind=kind)
    assert (report.asked, report.reused, report.by_status) == (20, 0, {"ok": 20})
    assert report.cost == pytest.approx(20 * COST) == ledger.spent()
    assert len(server.batches) == 1
    found = ledger.get_many(key_of(server, kind=kind), [prompt.hash for prompt in PROMPTS])
    for prompt in PROMPTS:
        said = json.loads(server.teacher.answer_to(prompt.text))["label"]
        assert found[prompt.hash].value == said
        assert found[prompt.hash].usage.input_tokens == 20
    again = run(server, ledger, kind=kind)
    assert (again.asked, again.reused, len(server.batches)) == (0, 20, 1)


def test_only_teachers_with_the_key_are_asked_in_batches(server: BatchServer, ledger: AnswerLedger) -> None:
    assert isinstance(teacher_of(server), Batched)
    run(server, ledger, PROMPTS[:2], batch=False)
    assert not server.batches and server.teacher.arrivals.total() == 2


def test_samples_are_requests_of_their_own(server: BatchServer, ledger: AnswerLedger) -> None:
    report = run(server, ledger, samples=3)
    [batch] = server.batches.values()
    assert len(batch["requests"]) == 60 == len({custom_id for custom_id, _ in batch["requests"]})
    assert report.repeatability == 1.0
    assert ledger.spent() == pytest.approx(60 * COST)


def test_where_no_log_probabilities_come_the_missing_votes_follow(
    server: BatchServer, ledger: AnswerLedger
) -> None:
    report = run(server, ledger, PROMPTS[:3], samples=None)
    assert [len(batch["requests"]) for batch in server.batches.values()] == [3, 12]
    assert report.by_status == {"ok": 3} and report.cost == pytest.approx(15 * COST) == ledger.spent()


@pytest.mark.parametrize("kind", KINDS)
def test_what_expired_or_failed_goes_into_the_next_batch(
    server: BatchServer, ledger: AnswerLedger, kind: str
) -> None:
    first, second, third = (prompt.text for prompt in PROMPTS[:3])
    server.fates = {first: ["expired"], second: ["500", "500", "500"], third: ["400"]}
    report = run(server, ledger, kind=kind)
    assert [len(batch["requests"]) for batch in server.batches.values()] == [20, 2, 1]
    assert report.failed_prompts == (PROMPTS[1].hash,)
    assert report.by_status == {"ok": 18, "refused": 1}
    assert report.again == 3
    assert ledger.spent() == pytest.approx(18 * COST)


@pytest.mark.parametrize("end", ["failed", "expired", "cancelled"])
def test_a_batch_that_failed_whole_is_asked_again(
    server: BatchServer, ledger: AnswerLedger, end: str
) -> None:
    server.ends = [end]
    report = run(server, ledger)
    assert (report.by_status, len(server.batches)) == ({"ok": 20}, 2)


def test_a_provider_that_has_enough_is_given_time(server: BatchServer, ledger: AnswerLedger) -> None:
    server.ends = ["full"] * 2
    report = run(server, ledger)
    assert (report.by_status, report.again, report.asked) == ({"ok": 20}, 0, 20)
    server.ends = ["full"] * 9
    with pytest.raises(TeacherUnavailable, match="turned 3 batches away.*Mend: lower"):
        run(server, ledger, samples=2)
    assert ledger.spent() == pytest.approx(20 * COST)


def test_retries_are_a_share_of_the_prompts(server: BatchServer, ledger: AnswerLedger) -> None:
    server.ends = ["failed"] * 9
    report = run(server, ledger, labelling={"retry_share": 0.5, "attempts": 9})
    assert report.again == 10 and report.failed == 20
    assert ledger.spent() == 0.0


def test_the_budget_divides_batches_and_is_never_passed(server: BatchServer, ledger: AnswerLedger) -> None:
    teacher = teacher_of(server)
    bound = max(teacher.most_expensive_batch([prompt]) for prompt in PROMPTS)
    budget = bound + 10 * COST
    spent: list[float] = []
    server.on_poll = lambda: spent.append(ledger.spent())
    with pytest.raises(BudgetExhausted, match="Mend: raise labelling.budget"):
        run(server, ledger, labelling={"budget": budget})
    assert len(server.batches) > 1
    assert max(spent) <= budget + 1e-9 and ledger.spent() <= budget
    answered = ledger.answered(key_of(server), [prompt.hash for prompt in PROMPTS])
    assert ledger.spent() == pytest.approx(len(answered) * COST)
    run(server, ledger)
    assert set(server.asked.values()) == {1}


def test_limits_of_the_provider_divide_batches(server: BatchServer, ledger: AnswerLedger) -> None:
    teacher = teacher_of(server, samples=3)
    teacher._provider.most_requests = 10
    assert teacher.fitting(PROMPTS) == 3
    teacher._provider.most_requests, teacher._provider.most_bytes = 1000, 1
    assert teacher.fitting(PROMPTS) == 1
    teacher._provider.most_bytes = 10**9
    assert teacher.fitting(PROMPTS) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_submission_whose_answer_is_lost_is_found_again(
    server: BatchServer, ledger: AnswerLedger, kind: str
) -> None:
    for number in range(3):  # others', on two pages
        server._made({"created_at": 1, "requests": [(f"x-{number}-0", "y")]})
    for batch in server.batches.values():
        batch["created_at"] = 4_000_000_000 if kind == "openai" else "2096-01-01T00:00:00Z"
    server.asked.clear()
    server.lost_creations = 1
    report = run(server, ledger, kind=kind)
    assert report.by_status == {"ok": 20}
    assert set(server.asked.values()) == {1}


def test_an_overload_is_waited_for_and_a_refusal_is_not(server: BatchServer, ledger: AnswerLedger) -> None:
    server.creations = [503, 429]
    assert run(server, ledger, PROMPTS[:5]).by_status == {"ok": 5}
    server.creations = [401]
    with pytest.raises(TeacherRefusesAccess):
        run(server, ledger)
    assert ledger.spent() == pytest.approx(5 * COST)
    server.creations = [503] * 9
    with pytest.raises(TeacherUnavailable):
        run(server, ledger)


def test_a_provider_that_is_down_for_less_than_patience_is_waited_for(
    server: BatchServer, ledger: AnswerLedger
) -> None:
    server.creations = [503] * 9
    report = run(server, ledger, PROMPTS[:5], labelling={"attempts": 3, "patience": 60.0})
    assert report.by_status == {"ok": 5} and report.faults == {"503": 9}


def test_ctrl_c_leaves_batches_to_the_next_run(server: BatchServer, ledger: AnswerLedger) -> None:
    server.polls = 10**6
    warned: list[str] = []

    async def interrupted() -> None:
        teacher = teacher_of(server)
        config = LabellingConfig(poll=0.01)
        task = asyncio.create_task(ask(PROMPTS, teacher, TASK, ledger, config, _Heard(warned)))
        while server.looks < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await teacher.close()

    asyncio.run(interrupted())
    assert "Run again to collect" in warned[0]
    assert ledger.spent() > 20 * COST  # its bound
    server.polls = 0
    assert run(server, ledger).by_status == {"ok": 20}
    assert len(server.batches) == 1 and ledger.spent() == pytest.approx(20 * COST)


def test_what_is_no_longer_asked_is_kept_all_the_same(server: BatchServer, ledger: AnswerLedger) -> None:
    teacher = teacher_of(server)
    tag = teacher.tag(PROMPTS)
    number = ledger.open_batch(key_of(server), tag, [prompt.hash for prompt in PROMPTS], 1.0)

    async def submit() -> str:
        try:
            return str(await teacher.submit(PROMPTS, tag))
        finally:
            await teacher.close()

    ledger.set_batch_remote(number, asyncio.run(submit()))
    run(server, ledger, PROMPTS[:1])
    assert len(ledger.answered(key_of(server), [prompt.hash for prompt in PROMPTS])) == 20


def test_prompts_answered_meanwhile_are_not_recorded_twice(server: BatchServer, ledger: AnswerLedger) -> None:
    server.polls = 3
    server.on_poll = lambda: None if server.looks != 2 else run_beside(server, ledger, PROMPTS[:4])
    report = run(server, ledger)
    assert report.by_status == {"ok": 16}
    assert ledger.spent() == pytest.approx(20 * COST + 4 * 2 * COST)


def run_beside(server: BatchServer, ledger: AnswerLedger, prompts: list[Prompt]) -> None:
    """Another process's answers, at the full price."""
    from tutelage.records import Answer, Usage

    usage = Usage(20, 5, 2 * COST, 0.1, 1)
    ledger.record(
        key_of(server), [(prompt, Answer(AnswerStatus.OK, "card", usage=usage)) for prompt in prompts]
    )


def test_anthropic_and_openai_discounts_come_from_the_list_where_the_file_has_none(
    server: BatchServer,
) -> None:
    listed = teacher_of(server, price={"input": 100.0, "output": 1000.0})
    assert listed.most_expensive_batch(PROMPTS) == pytest.approx(
        2 * teacher_of(server).most_expensive_batch(PROMPTS)
    )


def test_without_the_key_no_batch_is_submitted(server: BatchServer) -> None:
    with pytest.raises(ConfigError, match="teacher.batch: true"):
        asyncio.run(teacher_of(server, batch=False).submit(PROMPTS, "t"))


@pytest.mark.parametrize(
    "kill", ["opening", "opened", "asking", "answered", "committing:2", "committed:2", "poll"]
)
def test_killed_anywhere_nothing_is_submitted_twice_and_nothing_lost(
    server: BatchServer, tmp_path: Path, kill: str
) -> None:
    spec = {
        "url": server.teacher.url,
        "ledger": str(tmp_path / "a.sqlite"),
        "prompts": 20,
        "teacher": {"batch": True, "price": PRICE},
        "labelling": {"poll": 0.05, "wait": 0.001},
    }
    script = Path(__file__).with_name("killable.py")
    arguments = [sys.executable, str(script), json.dumps(spec)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline().strip() == "ready"

        def start(environment: dict[str, str]) -> int:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(environment) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        server.polls = 10**6 if kill == "poll" else 1
        child = start({} if kill == "poll" else {"TUTELAGE_FAULT": kill})
        if kill == "poll":
            while server.looks < 2:
                pass
            os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(int(process.stdout.readline())) == -signal.SIGKILL
        server.polls = 1
        start({"TUTELAGE_FAULT": ""})
        assert os.waitstatus_to_exitcode(int(process.stdout.readline())) == 0
        process.stdin.close()
    assert len(server.batches) == 1 and set(server.asked.values()) == {1}
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        key = key_of(server)
        assert len(ledger.answered(key, [prompt.hash for prompt in PROMPTS])) == 20
        assert ledger.spent() == pytest.approx(20 * COST)
        assert ledger.open_batches(key) == []


def left_at_the_provider(server: BatchServer, ledger: AnswerLedger, kind: str = "openai") -> str:
    """A run that ends while its batch goes on; the batch's name."""
    server.polls = 10**6

    async def interrupted() -> None:
        teacher = teacher_of(server, kind)
        task = asyncio.create_task(ask(PROMPTS, teacher, TASK, ledger, LabellingConfig(poll=0.01)))
        while not server.looks:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await teacher.close()

    asyncio.run(interrupted())
    server.polls = 1
    [name] = server.batches
    return name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["batch", "results"])
def test_what_the_provider_has_forgotten_is_asked_again_and_its_bound_stays_spent(
    server: BatchServer, ledger: AnswerLedger, kind: str, what: str
) -> None:
    name = left_at_the_provider(server, ledger, kind)
    [batch] = ledger.open_batches(key_of(server, kind=kind))
    if what == "batch":
        del server.batches[name]
    server.forgets_results = what == "results"
    server.on_poll = lambda: _remember(server, name)
    warned: list[str] = []
    report = run(server, ledger, kind=kind, progress=_Heard(warned))
    assert report.by_status == {"ok": 20} and report.faults == {"forgotten batch": 20}
    assert ledger.spent() == pytest.approx(batch.bound + 20 * COST)
    assert report.cost == pytest.approx(ledger.spent())
    [warning] = warned
    assert f"the provider has batch {name} of 20 prompts no longer (127.0.0.1 answered 404" in warning
    assert f"${batch.bound:.4f}" in warning
    assert [one.remote for one in ledger.forgotten_batches()] == [name]
    assert run(server, ledger, kind=kind).asked == 0


def _remember(server: BatchServer, forgotten: str) -> None:
    """Results of any other batch are there."""
    server.forgets_results = server.forgets_results and [*server.batches] == [forgotten]


def test_a_batch_that_is_not_listed_at_once_is_not_given_up(
    server: BatchServer, ledger: AnswerLedger
) -> None:
    name = left_at_the_provider(server, ledger)
    hidden = server.batches.pop(name)
    teacher = teacher_of(server)
    looked = 0

    async def poll(remote: str, poll: Any = teacher.poll) -> Any:
        nonlocal looked
        looked += 1
        if looked == 3:
            server.batches[name] = hidden
        return await poll(remote)

    teacher.poll = poll
    report = run(server, ledger, teacher=teacher)
    assert report.by_status == {"ok": 20} and ledger.spent() == pytest.approx(20 * COST)


@pytest.mark.parametrize("kind", KINDS)
def test_ended_early_a_batch_leaves_what_it_has_answered(
    server: BatchServer, ledger: AnswerLedger, kind: str
) -> None:
    name = left_at_the_provider(server, ledger, kind)
    server.finished, server.polls = 7, 10**6
    report = ended(server, ledger, kind)
    server.polls = 1
    assert server.cancelled == [name] and ledger.open_batches() == []
    assert report.by_status == {"ok": 7} and report.cost == pytest.approx(7 * COST) == ledger.spent()
    assert run(server, ledger, kind=kind).by_status == {"ok": 13}
    assert ledger.spent() == pytest.approx(20 * COST)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_ended_by_itself_is_collected_whole(
    server: BatchServer, ledger: AnswerLedger, kind: str
) -> None:
    left_at_the_provider(server, ledger, kind)
    server.polls = 0
    assert ended(server, ledger, kind).by_status == {"ok": 20}
    assert server.cancelled == [] and ledger.spent() == pytest.approx(20 * COST)


def test_ending_finds_what_was_submitted_and_what_never_was(
    server: BatchServer, ledger: AnswerLedger
) -> None:
    hashes = [prompt.hash for prompt in PROMPTS]
    ledger.open_batch(key_of(server), "t1n1r00000000", hashes, 1.0)  # its run died before it was submitted
    assert ended(server, ledger).by_status == {} and ledger.spent() == 0.0
    server.lost_creations = 1
    with pytest.raises(TeacherUnavailable):
        run(server, ledger, labelling={"attempts": 1})
    server.polls = 10**6
    assert ended(server, ledger).by_status == {}
    assert len(server.cancelled) == 1 and ledger.open_batches() == [] and ledger.spent() == 0.0


def ended(server: BatchServer, ledger: AnswerLedger, kind: str = "openai") -> LabellingReport:
    """`end_batches`, by a teacher that is asked one by one."""
    teacher = teacher_of(server, kind, batch=False)

    async def end() -> LabellingReport:
        try:
            config = LabellingConfig(poll=0.01, wait=0.001)
            return await end_batches(PROMPTS, teacher, TASK, ledger, config)
        finally:
            await teacher.close()

    return asyncio.run(end())


def test_asked_one_by_one_nothing_is_paid_that_a_batch_will_bring(
    server: BatchServer, ledger: AnswerLedger
) -> None:
    name = left_at_the_provider(server, ledger)
    with pytest.raises(
        UsageError, match=rf"20 of the prompts .* paid for twice \({name}\)\. Mend: .*--cancel"
    ):
        run(server, ledger, batch=False)
    other = [Prompt("x", "another prompt")]
    assert run(server, ledger, other, batch=False).by_status == {"ok": 1}
    assert server.teacher.arrivals == {"another prompt": 1}
    assert run(server, ledger).by_status == {"ok": 20}


class _Heard:
    """A Progress that keeps its warnings."""

    def __init__(self, warned: list[str]) -> None:
        self._warned = warned

    def warn(self, text: str) -> None:
        self._warned.append(text)

    def __getattr__(self, name: str) -> Any:
        from tutelage.progress import Silent

        return getattr(Silent(), name)


def test_an_answer_that_cannot_be_read_may_have_cost(server: BatchServer, ledger: AnswerLedger) -> None:
    server.fates = {PROMPTS[0].text: ["broken"]}
    assert run(server, ledger, PROMPTS[:1]).by_status == {"ok": 1}
    assert ledger.spent() == pytest.approx(COST + teacher_of(server).most_expensive_batch(PROMPTS[:1]))


def test_a_key_that_fails_while_an_orphan_is_sought_loses_nothing(
    server: BatchServer, ledger: AnswerLedger
) -> None:
    server.lost_creations = 1
    with pytest.raises(TeacherUnavailable):
        run(server, ledger, labelling={"attempts": 1})
    server.locked = True
    with pytest.raises(TeacherRefusesAccess):
        run(server, ledger)
    assert len(ledger.open_batches(key_of(server))) == 1
    server.locked = False
    assert run(server, ledger).by_status == {"ok": 20}
    assert len(server.batches) == 1 and ledger.spent() == pytest.approx(20 * COST)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["custom_id", "response", "status_code", "body", "error", "result", "type", "message"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(_JSON.map(lambda content: json.dumps(content).encode()) | st.binary(max_size=20), max_size=6))
def test_any_lines_of_results_are_read_or_belong_to_nobody(lines: list[bytes]) -> None:
    class Said:
        async def ask_of_batch(self, *request: Any) -> dict[str, Any]:
            return {"output_file_id": "f"}

        async def read_lines(self, path: str) -> AsyncIterator[bytes]:
            for line in lines:
                yield line

    async def read(api: Any) -> list[Any]:
        return [line async for line in api.results("b")]

    for kind in (OpenAIBatches, AnthropicBatches):
        for line in asyncio.run(read(kind(cast(Any, Said()), "/messages"))):
            assert isinstance(line.status, int) and isinstance(line.custom_id, str)
            json.loads(line.body)


def test_azure_takes_no_batches_and_says_so(server: BatchServer) -> None:
    with pytest.raises(ConfigError, match="Mend: leave teacher.batch out"):
        teacher_of(server, api="azure", api_version="2026-01-01")


def test_label_takes_batches_too(server: BatchServer, ledger: AnswerLedger) -> None:
    report = label(PROMPTS[:2], teacher_of(server), TASK, ledger, LabellingConfig(poll=0.01))
    assert report.by_status == {"ok": 2}
