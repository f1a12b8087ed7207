"""The pace that is found for endpoints of several kinds, in virtual time."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import TASK, Endpoint, flat, labelled, slots, turning_away

from tutelage.errors import TeacherUnavailable
from tutelage.labelling.pacing import Fixed, Window
from tutelage.labelling.rates import Rate, TokenGuess
from tutelage.records import Answer, AnswerStatus, Prompt, Usage


def test_a_flat_endpoint_gets_the_ceiling_within_a_second_and_keeps_it(tmp_path: Path) -> None:
    endpoint = Endpoint(flat(lambda: 0.05))
    report = labelled(endpoint, 4000, tmp_path, concurrency=64)
    reached = min(at for at, under_way in endpoint.log if under_way == 64)
    assert reached <= 1.0
    assert report.at_once == 64
    last = max(at for at, _ in endpoint.log)
    busy = endpoint.answered_between(reached, last) / (last - reached)
    assert busy >= 0.95 * 64 / 0.05


def test_a_single_slot_gets_about_two_calls(tmp_path: Path) -> None:
    endpoint = Endpoint(slots(1, lambda: 1.0))
    report = labelled(endpoint, 300, tmp_path, concurrency=64)
    assert report.at_once <= 8
    assert 1.5 <= mean(endpoint.under_way_between(30.0, 280.0)) <= 3.0
    assert report.seconds <= 300 * 1.05


def test_an_endpoint_that_turns_calls_away_is_kept_busy_and_seldom_asked_too_much(tmp_path: Path) -> None:
    endpoint = Endpoint(turning_away(16, 0.5))
    report = labelled(endpoint, 3000, tmp_path, concurrency=256)
    assert report.failed == 0 and set(report.faults) == {"429"}
    assert report.faults["429"] <= 0.1 * 3000
    assert 3000 / report.seconds >= 0.75 * 16 / 0.5
    assert max(endpoint.under_way_between(10.0, 90.0)) <= 18


def test_a_queue_behind_sixteen_slots_stays_short(tmp_path: Path) -> None:
    endpoint = Endpoint(slots(16, lambda: 0.5))
    report = labelled(endpoint, 3000, tmp_path, concurrency=256)
    assert 3000 / report.seconds >= 0.95 * 16 / 0.5
    assert 16 <= mean(endpoint.under_way_between(20.0, 80.0)) <= 45


@pytest.mark.parametrize("seed", range(5))
def test_answers_of_uneven_length_are_not_taken_for_a_queue(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    endpoint = Endpoint(flat(lambda: chance.lognormvariate(0.0, 0.8)))
    labelled(endpoint, 4000, tmp_path, concurrency=64)
    mean_latency = math.exp(0.8**2 / 2)
    assert endpoint.answered_between(20.0, 70.0) / 50 >= 0.85 * 64 / mean_latency


def test_an_endpoint_that_becomes_slower_for_all_keeps_its_window(tmp_path: Path) -> None:
    """A cut that doesn't shorten the latency but costs speed is taken back."""

    async def serve(endpoint: Endpoint) -> None:
        await asyncio.sleep(0.05 if asyncio.get_running_loop().time() < 5.0 else 0.25)

    endpoint = Endpoint(serve)
    labelled(endpoint, 12000, tmp_path, concurrency=64)
    assert endpoint.answered_between(8.0, 24.0) / 16 >= 0.95 * 64 / 0.25


def test_retry_after_is_a_pause_for_everyone(tmp_path: Path) -> None:
    async def serve(endpoint: Endpoint) -> None:
        first_of_many = len(endpoint.log) == 100
        await asyncio.sleep(0.1)
        if first_of_many:
            raise TeacherUnavailable("slow down", retry_after=20.0, fault="429")

    endpoint = Endpoint(serve)
    report = labelled(endpoint, 300, tmp_path, concurrency=8)
    times = [at for at, _ in endpoint.log]
    longest, before = max((later - at, at) for at, later in pairwise(times))
    assert longest == pytest.approx(20.1, abs=0.11) and endpoint.sent_between(before + 0.1, before + 20) == 0
    assert report.failed == 0 and report.again >= 1


def test_no_pause_is_longer_than_a_minute(tmp_path: Path) -> None:
    async def serve(endpoint: Endpoint) -> None:
        if len(endpoint.log) == 1:
            raise TeacherUnavailable("slow down", retry_after=3600.0)

    report = labelled(Endpoint(serve), 3, tmp_path)
    assert 60.0 <= report.seconds <= 61.0 and report.faults == {"rate limit": 1}


def test_a_teacher_that_says_how_many_calls_it_takes_gets_them_at_once(tmp_path: Path) -> None:
    endpoint = Endpoint(slots(1, lambda: 1.0))
    endpoint.concurrency = 5
    assert labelled(endpoint, 20, tmp_path).at_once == 5
    assert [under_way for _, under_way in endpoint.log[:5]] == [1, 2, 3, 4, 5]
    pace = Fixed(3)
    pace.failed(pace.sent(0.0), 1.0, congested=True)
    assert pace.limit == 3


def rounds(window: Window, latency: float, count: int, start: float = 0.0) -> float:
    """`count` rounds of calls that go out and come back together; when they ended."""
    now = start
    for _ in range(count):
        window.filled()
        tickets = [window.sent(now) for _ in range(max(window.limit, 2))]
        now += latency
        for ticket in tickets:
            window.answered(ticket, now, latency)
    return now


def test_a_window_doubles_until_the_first_congestion_and_then_grows_by_one() -> None:
    window, limits = Window(100), []
    for number in range(5):
        rounds(window, 1.0, 1, float(number))
        limits.append(window.limit)
    assert limits == [4, 8, 16, 32, 64]
    tickets = [window.sent(5.0) for _ in range(3)]
    for ticket in tickets[:2]:
        window.failed(ticket, 6.0, congested=True)
        assert window.limit == 64  # may be chance
    window.failed(tickets[2], 6.0, congested=True)
    assert window.limit == 44
    now = rounds(window, 1.0, 3, 6.0)
    assert window.limit == 47
    window.failed(window.sent(now), now, congested=False)
    assert window.limit == 47
    rounds(window, 1.0, 99, now)
    assert window.limit == 100


def test_a_window_in_which_some_were_turned_away_stays_as_it_is() -> None:
    window = Window(100)
    rounds(window, 1.0, 4)
    tickets = [window.sent(4.0) for _ in range(32)]
    window.filled()
    window.failed(tickets[0], 5.0, congested=True)
    for ticket in tickets[1:]:
        window.answered(ticket, 5.0, 1.0)
    assert window.limit == 32
    rounds(window, 1.0, 1, 5.0)
    assert window.limit == 64  # slow start goes on


def test_a_small_window_believes_the_first_call_that_is_turned_away() -> None:
    window = Window(64)
    rounds(window, 1.0, 1)
    window.failed(window.sent(1.0), 2.0, congested=True)
    assert window.limit == 2


@pytest.mark.parametrize(("share", "slower"), [(0.005, 1.6), (0.01, 2.2)])
def test_calls_turned_away_by_chance_leave_the_window_high(
    tmp_path: Path, share: float, slower: float
) -> None:
    chance, count = random.Random(1), 4000

    async def serve(endpoint: Endpoint) -> None:
        if chance.random() < share:
            raise TeacherUnavailable("slow down", fault="429")
        await asyncio.sleep(0.5 * chance.uniform(0.7, 1.3))

    assert labelled(Endpoint(serve), count, tmp_path).seconds < slower * count * 0.5 / 64


def test_a_window_is_cut_once_for_all_calls_sent_before() -> None:
    window = Window(64)
    rounds(window, 1.0, 5)
    tickets = [window.sent(5.0) for _ in range(64)]
    for ticket in tickets:
        window.failed(ticket, 6.0, congested=True)
    assert window.limit == 44
    for _ in range(99):
        window.failed(window.sent(7.0), 8.0, congested=True)
    assert window.limit == 1


def test_a_window_that_is_not_filled_does_not_grow() -> None:
    window = Window(64)
    for _ in range(10):
        tickets = [window.sent(0.0), window.sent(0.0)]
        for ticket in tickets:
            window.answered(ticket, 1.0, 1.0)
    assert window.limit == 1


@given(
    limit=st.floats(1.0, 1e5),
    amounts=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=200),
    pauses=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200),
)
def test_no_minute_has_more_than_its_rate(
    limit: float, amounts: Sequence[float], pauses: Sequence[float]
) -> None:
    """Of amounts up to half of the limit."""
    rate = Rate(limit, largest=max(amounts) * limit)
    now, taken = 1000.0, []
    for share, pause in zip(amounts, pauses, strict=False):
        now = rate.at(now + pause)
        rate.take(share * limit, now)
        taken.append((now, share * limit))
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 60) <= limit * (1 + 1e-9)


@pytest.mark.parametrize("limit", [1, 7, 60, 500])
def test_requests_a_minute_hold_from_the_start_and_are_used(tmp_path: Path, limit: int) -> None:
    endpoint = Endpoint(flat(lambda: 0.05))
    count = min(3 * limit, 900)
    report = labelled(endpoint, count, tmp_path, requests_per_minute=limit)
    most = max(endpoint.sent_between(at, at + 60) for at, _ in endpoint.log)
    assert most <= limit
    assert report.seconds <= (count - 1) / limit * 60 * 1.02 + 1


def test_each_sample_is_a_request(tmp_path: Path) -> None:
    endpoint = Endpoint(flat(lambda: 0.05), calls=5)
    report = labelled(endpoint, 90, tmp_path, requests_per_minute=100)
    later = [at for at, _ in endpoint.log][2:]  # that they are five is learned from the first two
    assert max(5 * endpoint.sent_between(at, at + 60) for at in later) <= 100
    assert report.seconds <= 90 * 5 / 100 * 60 * 1.06


@pytest.mark.parametrize("tokens", [40, 120, 400])
def test_tokens_a_minute_hold_whatever_a_prompt_turns_out_to_take(tmp_path: Path, tokens: int) -> None:
    """The first guess is of about 150 tokens a prompt."""
    endpoint, limit = Endpoint(flat(lambda: 0.5), tokens=tokens), 30_000
    report = labelled(endpoint, 600, tmp_path, tokens_per_minute=limit)
    most = max(endpoint.sent_between(at, at + 60) for at, _ in endpoint.log)
    assert most * tokens <= limit
    ideal = 600 * tokens / limit * 60
    assert report.seconds <= max(ideal, 10) * 1.25 + 5


def test_tokens_are_guessed_by_what_answers_took() -> None:
    guess = TokenGuess(TASK)
    texts = [Prompt("0", "x" * 300), Prompt("1", "y" * 300)]
    first = guess.of(texts)
    assert first > 200

    def said(tokens: int) -> list[Any]:
        return [Answer(AnswerStatus.OK, "card", usage=Usage(input_tokens=tokens, output_tokens=10))] * 2

    for _ in range(100):
        assert guess.learn(guess.of(texts), said(90)) == 200.0
    assert guess.of(texts) == pytest.approx(200.0, rel=0.01)
    assert guess.learn(50.0, []) == 50.0
    with_nothing = guess.of(texts)
    guess.learn(50.0, [Answer(AnswerStatus.OK, "card")])
    assert guess.of(texts) == with_nothing
