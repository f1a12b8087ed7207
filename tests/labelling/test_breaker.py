"""What a run does while its endpoint is down, and how often calls are made again; in virtual time."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from pathlib import Path

import pytest
from test_asking import Bar
from virtual import Endpoint, down_between, labelled

from tutelage.errors import TeacherRefusesAccess, TeacherUnavailable
from tutelage.labelling.breaker import Breaker
from tutelage.labelling.retries import RetryBudget, congests, fault_name, is_mark, wait_before_again


@pytest.mark.parametrize("attempts", [1, 6])
def test_an_outage_of_a_minute_costs_no_prompt_and_few_calls(tmp_path: Path, attempts: int) -> None:
    endpoint, bar = Endpoint(down_between(2.0, 62.0, 0.05)), Bar()
    report = labelled(endpoint, 5000, tmp_path, bar, attempts=attempts)
    assert (report.failed, report.by_status) == (0, {"ok": 5000})
    # Those under way, an eighth beside whose answers wait for the disk, what tells an outage, the probes.
    assert endpoint.sent_between(2.0, 62.0) <= 64 + 64 // 8 + 10 + 7
    assert endpoint.sent_between(5.0, 62.0) <= 6
    assert report.seconds <= 62 + 30 + 5000 * 0.05 / 64 + 3
    warned, told = bar.told
    assert "seems to be down (the connection failed)" in warned and "(labelling.patience)" in warned
    assert told == "the teacher answers again, and labelling goes on"
    assert any(note.startswith("paused: connection; next try in 16 s") for note in bar.notes)
    assert bar.notes[-1].startswith("$") and bar.done == 5000


def test_probes_go_one_at_a_time_and_the_window_begins_low_again(tmp_path: Path) -> None:
    endpoint = Endpoint(down_between(2.0, 30.0, 0.05))
    labelled(endpoint, 5000, tmp_path)
    down = [at for at, _ in endpoint.log if 3.0 <= at < 30.0]
    gaps = [later - at for at, later in pairwise(down)]
    assert gaps == pytest.approx([2.0, 4.0, 8.0]) or gaps == pytest.approx([4.0, 8.0])
    back = min(at for at in endpoint.answers if at > 30.0)
    assert max(endpoint.under_way_between(back - 0.05, back + 0.04)) <= 4


def test_patience_ends_and_progress_is_kept(tmp_path: Path) -> None:
    endpoint = Endpoint(down_between(2.0, 1e9, 0.05))
    with pytest.raises(
        TeacherUnavailable,
        match=r"no call was answered for 100 s, and labelling\.patience is 100; \d+ of .* calls failed "
        r"\(connection: \d+\)\. The last: the connection failed\. \d+ prompts were answered in this run and "
        r"\d+ remain\. Mend: see to the teacher, or raise labelling\.patience;.*max_failed_share .*, then run again",
    ):
        labelled(endpoint, 5000, tmp_path, patience=100.0)
    answered = len(endpoint.answers)
    assert answered > 1000
    assert labelled(Endpoint(down_between(0, 0, 0.05)), 5000, tmp_path).reused == answered


def test_no_patience_stops_as_soon_as_the_endpoint_seems_down(tmp_path: Path) -> None:
    endpoint = Endpoint(down_between(0.0, 1e9, 0.05))
    with pytest.raises(TeacherUnavailable, match="10 of 10 calls failed"):
        labelled(endpoint, 100, tmp_path, patience=0.0)
    assert len(endpoint.log) == 10


def test_an_endpoint_that_never_answers_in_time_is_found_out_without_hundreds_of_waits(
    tmp_path: Path,
) -> None:
    async def serve(endpoint: Endpoint) -> None:
        await asyncio.sleep(1e9)

    endpoint = Endpoint(serve)
    with pytest.raises(TeacherUnavailable, match="deadline"):
        labelled(endpoint, 1000, tmp_path, deadline=60.0, patience=300.0)
    assert len(endpoint.log) <= 15


def test_poison_prompts_are_left_while_others_are_answered(tmp_path: Path) -> None:
    """Also where nothing but they is left at the end."""
    chance = random.Random(1)

    class Poisoned(Endpoint):
        async def answer(self, prompts):  # type: ignore[no-untyped-def]
            if int(prompts[0].id) % 10 == 0:
                await asyncio.sleep(chance.uniform(0, 0.1))
                raise TeacherUnavailable("no", fault="500")
            return await super().answer(prompts)

    endpoint = Poisoned(down_between(0, 0, 0.05))
    report = labelled(endpoint, 1000, tmp_path, attempts=3, max_failed_share=0.1)
    assert (report.failed, report.by_status) == (100, {"ok": 900})
    assert report.faults == {"500": 300} and report.again == 200


def test_more_poison_prompts_than_may_be_left_are_not_taken_for_an_outage(tmp_path: Path) -> None:
    class Poisoned(Endpoint):
        async def answer(self, prompts):  # type: ignore[no-untyped-def]
            if int(prompts[0].id) % 10 == 0:
                raise TeacherUnavailable("no", fault="500")
            return await super().answer(prompts)

    bar = Bar()
    report = labelled(Poisoned(down_between(0, 0, 0.05)), 5000, tmp_path, bar, max_failed_share=0.01)
    assert (report.failed, report.by_status) == (500, {"ok": 4500})
    assert report.seconds < 120 and bar.told == []


@pytest.mark.parametrize("count", [1, 4, 9])
@pytest.mark.parametrize("fault", ["connection", "502"])
def test_an_outage_costs_no_prompt_where_few_are_asked(tmp_path: Path, count: int, fault: str) -> None:
    async def serve(endpoint: Endpoint) -> None:
        if asyncio.get_running_loop().time() < 240.0:
            raise TeacherUnavailable("nobody is there", fault=fault)

    report = labelled(Endpoint(serve), count, tmp_path)
    assert (report.failed, report.by_status) == (0, {"ok": count})


def test_an_endpoint_that_says_at_once_is_given_time_all_the_same(tmp_path: Path) -> None:
    async def serve(endpoint: Endpoint) -> None:
        if asyncio.get_running_loop().time() < 0.6:
            raise TeacherUnavailable("slow down", retry_after=0.0, fault="429")

    report = labelled(Endpoint(serve), 1, tmp_path)
    assert report.by_status == {"ok": 1} and report.again <= 2


def test_calls_made_again_are_a_share_of_the_prompts(tmp_path: Path) -> None:
    chance = random.Random(2)

    async def serve(endpoint: Endpoint) -> None:
        await asyncio.sleep(0.05)
        if chance.random() < 0.5:
            raise TeacherUnavailable("boom", fault="500")

    endpoint = Endpoint(serve)
    with pytest.raises(
        TeacherUnavailable,
        match=r"calls failed \(500: \d+\), and all 200 calls that may be made again are used up "
        r"\(labelling\.retry_share 0\.2\).*labelling\.retry_share, then",
    ):
        labelled(endpoint, 1000, tmp_path, retry_share=0.2)
    assert len(endpoint.log) <= 1200
    assert labelled(endpoint, 1000, tmp_path, attempts=50).failed == 0


@pytest.mark.parametrize("seed", range(3))
def test_half_of_all_calls_failing_ends_with_every_prompt_answered(tmp_path: Path, seed: int) -> None:
    chance, kinds = random.Random(seed), ["429"] * 3 + ["500", "503"]

    async def serve(endpoint: Endpoint) -> None:
        await asyncio.sleep(0.05)
        if chance.random() < 0.5:
            raise TeacherUnavailable("no", fault=chance.choice(kinds))

    report = labelled(Endpoint(serve), 2000, tmp_path)
    assert (report.failed, report.by_status) == (0, {"ok": 2000})
    assert report.again == sum(report.faults.values()) <= 2 * 2000
    assert set(report.faults) == {"429", "500", "503"}


def test_a_breaker_opens_for_different_calls_alone() -> None:
    breaker: Breaker[int] = Breaker(patience=100.0, first_interval=1.0)
    assert not any(breaker.failed(call % 9, float(call), 1) for call in range(50))
    assert breaker.failed(9, 50.0, 1) and breaker.is_open and breaker.probe_at == 51.0
    assert sum(breaker.take_failing().values()) == 51 and breaker.take_failing() == {}
    assert breaker.answered() and not breaker.is_open and not breaker.answered()
    assert breaker.down_for(60.0) == 0.0


def test_a_breaker_needs_as_many_failures_as_calls_were_under_way() -> None:
    breaker: Breaker[int] = Breaker(patience=100.0, first_interval=1.0)
    assert [breaker.failed(call, 0.0, 64 - call) for call in range(64)] == [False] * 63 + [True]


def test_five_calls_over_a_minute_are_enough() -> None:
    breaker: Breaker[int] = Breaker(patience=100.0, first_interval=1.0)
    assert [breaker.failed(call, 15.0 * call, 1) for call in range(5)] == [False] * 4 + [True]


def test_probes_come_at_rising_intervals_and_the_last_when_patience_ends() -> None:
    breaker: Breaker[int] = Breaker(patience=100.0, first_interval=1.0)
    for call in range(10):
        breaker.failed(call, 0.0, 1)
    times = []
    while not breaker.gives_up(breaker.probe_at):
        times.append(breaker.probe_at)
        breaker.probe_failed(breaker.probe_at)
    assert times == [1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0] and breaker.probe_at == 100.0


def test_the_retry_budget_is_a_share_and_at_least_ten() -> None:
    assert [RetryBudget(2.0, 1000).allowed, RetryBudget(0.0, 1000).allowed] == [2000, 10]
    budget = RetryBudget(0.5, 30)
    assert [budget.take() for _ in range(16)] == [True] * 15 + [False]


def test_a_prompt_that_alone_is_turned_away_has_its_tries_too(tmp_path: Path) -> None:
    class TooLarge(Endpoint):
        async def answer(self, prompts):  # type: ignore[no-untyped-def]
            if prompts[0].id == "7":
                raise TeacherUnavailable("request too large for your tier", fault="429")
            return await super().answer(prompts)

    report = labelled(TooLarge(down_between(0, 0, 0.05)), 2000, tmp_path, attempts=3)
    assert report.failed == 1 and report.faults == {"429": 12}


def test_faults_that_cost_money_are_marks_whatever_their_kind() -> None:
    assert is_mark(TeacherUnavailable("x", fault="time-out", billed=True))
    assert is_mark(TeacherUnavailable("x", fault="500")) and is_mark(TeacherUnavailable("x"))
    assert not is_mark(TeacherUnavailable("x", fault="429"))
    assert not is_mark(TeacherUnavailable("x", fault="connection"))
    assert is_mark(TeacherUnavailable("x", fault="connection", billed=True))


def test_waits_double_with_jitter_up_to_a_quarter_of_a_minute() -> None:
    for tries, least in [(1, 0.5), (2, 1.0), (5, 8.0)]:
        assert least <= wait_before_again(tries, 0.5) <= least + 0.5
    assert wait_before_again(1000, 0.5) == 15.0


@pytest.mark.parametrize(
    "error,name,congested",
    [
        (TeacherUnavailable("x", fault="429"), "429", True),
        (TeacherUnavailable("x", fault="503"), "503", True),
        (TeacherUnavailable("x", fault="500"), "500", False),
        (TeacherUnavailable("x", 3.0, fault="500"), "500", True),
        (TeacherUnavailable("x", fault="time-out"), "time-out", True),
        (TeacherUnavailable("x", 3.0), "rate limit", True),
        (TeacherUnavailable("x"), "other fault", False),
    ],
)
def test_faults_have_names_and_some_tell_of_too_much_work(
    error: TeacherUnavailable, name: str, congested: bool
) -> None:
    assert (fault_name(error), congests(error)) == (name, congested)


def test_what_fails_after_a_stop_changes_nothing_of_what_is_said(tmp_path: Path) -> None:
    """One call is refused while sixty others are under way, and all of those fail then."""

    async def serve(endpoint: Endpoint) -> None:
        sent = asyncio.get_running_loop().time()
        await asyncio.sleep(0.05)
        if sent > 2.0:
            if endpoint.refused:
                raise TeacherUnavailable("the connection failed", fault="connection")
            endpoint.refused = True
            raise TeacherRefusesAccess("no credit")

    endpoint, bar = Endpoint(serve), Bar()
    with pytest.raises(TeacherRefusesAccess, match=r"no credit\. .*Mend: see to the teacher, then run again"):
        labelled(endpoint, 5000, tmp_path, bar, patience=0.0)
    assert bar.told == []
