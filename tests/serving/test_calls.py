from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from tutelage.errors import TeacherError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.serving.calls import ENOUGH, FIRST, LONGEST, Breaker, Calls, Counted


class Teacher:
    """Does what its script says, one entry a call: seconds to answer after, or what to raise at once."""

    def __init__(self, *script):
        self.script, self.calls, self.cancelled = list(script), 0, 0

    async def __call__(self):
        self.calls += 1
        number, does = self.calls, self.script.pop(0) if self.script else 0.0
        if isinstance(does, Exception):
            raise does
        try:
            await asyncio.sleep(does)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return number


def unavailable(fault="503", retry_after=None):
    return TeacherUnavailable("the teacher answered so", retry_after, fault=fault)


LONG = 60.0  # seconds, where a call's time isn't what is looked at


def calls(hedge=None, told=None):
    return Calls("big-model", hedge, (told if told is not None else []).append)


def test_a_passing_fault_is_tried_once_again():
    teacher = Teacher(unavailable("503"))
    assert asyncio.run(calls().make(teacher, LONG)) == 2
    teacher = Teacher(unavailable("connection"), unavailable("connection"))
    with pytest.raises(TeacherUnavailable):
        asyncio.run(calls().make(teacher, LONG))
    assert teacher.calls == 2


@pytest.mark.parametrize(
    "fault",
    [
        TeacherRefusesAccess("the teacher answered 401"),
        unavailable("time-out"),
        unavailable("429", retry_after=9.0),
        ValueError("a bug"),
    ],
)
def test_what_a_second_call_would_not_change_is_not_tried_again(fault):
    teacher = Teacher(fault)
    with pytest.raises(TeacherError):
        asyncio.run(calls().make(teacher, LONG))
    assert teacher.calls == 1


def test_without_time_left_there_is_no_second_call():
    teacher = Teacher(unavailable("503"))
    with pytest.raises(TeacherUnavailable):
        asyncio.run(calls().make(teacher, 0.06))
    assert teacher.calls == 1


def test_retry_after_is_waited_out_where_it_is_short():
    teacher, began = Teacher(unavailable("429", retry_after=0.3)), time.monotonic()
    assert asyncio.run(calls().make(teacher, LONG)) == 2
    assert time.monotonic() - began >= 0.3


def test_a_teacher_that_hangs_costs_the_time_given_and_no_more():
    teacher = Teacher(600.0)
    with pytest.raises(TeacherUnavailable, match="in time") as caught:
        asyncio.run(calls().make(teacher, 0.2))
    assert caught.value.fault == "time-out"
    assert teacher.cancelled == 1


def test_a_hedged_call_answers_where_the_first_hangs():
    teacher = Teacher(600.0, 0.0)
    assert asyncio.run(calls(hedge=0.05).make(teacher, LONG)) == 2
    assert teacher.cancelled == 1
    quick = Teacher(0.0)
    assert asyncio.run(calls(hedge=30.0).make(quick, LONG)) == 1
    assert quick.calls == 1


def test_of_two_hedged_calls_one_may_fail():
    assert asyncio.run(calls(hedge=0.02).make(Teacher(0.1, unavailable()), LONG)) == 1


@pytest.mark.parametrize(
    ("script", "hedge", "paid"),
    [
        ((0.0,), 30.0, 1),
        ((600.0, 0.0), 0.05, 2),
        ((0.1, unavailable()), 0.05, 1),
        ((unavailable("503"), 0.0), 30.0, 1),
    ],
)
def test_a_hedged_call_that_came_too_late_is_paid_for_and_one_that_failed_is_not(script, hedge, paid):
    counted = Counted(Teacher(*script))
    asyncio.run(calls(hedge=hedge).make(counted, LONG))
    assert counted.paid == paid


def test_whoever_gives_up_leaves_no_call_behind():
    async def scene():
        teacher = Teacher(600.0, 600.0)
        asked = asyncio.create_task(calls(hedge=0.01).make(teacher, LONG))
        while teacher.calls < 2:
            await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.sleep(0)
        return teacher.calls, teacher.cancelled

    assert asyncio.run(scene()) == (2, 2)


def test_what_nobody_foresaw_is_a_fault_of_the_teacher():
    with pytest.raises(TeacherUnavailable, match="ZeroDivisionError"):
        asyncio.run(calls().make(Teacher(ZeroDivisionError()), LONG))


def test_a_dead_teacher_is_asked_seldom():
    """A hundred requests of a teacher that hangs don't each wait out a time-out."""
    told: list[str] = []

    async def scene():
        teacher, some = Teacher(*[60.0] * 100), calls(told=told)
        some.breaker = Breaker("big-model", told.append, Clock())
        for _ in range(100):
            with pytest.raises(TeacherUnavailable):
                await some.make(teacher, 0.02)
        return teacher.calls

    assert asyncio.run(scene()) == ENOUGH
    assert told == ["big-model is down: big-model did not answer in time"]


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def opened(told=None):
    clock = Clock()
    breaker = Breaker("big-model", (told if told is not None else []).append, clock)
    for _ in range(ENOUGH):
        breaker.wait()
        breaker.failed(unavailable("connection"))
    return breaker, clock


def test_probes_come_ever_more_seldom_and_one_at_a_time():
    breaker, clock = opened()
    probes = []
    for _ in range(2_000):
        clock.now += 0.1
        try:
            breaker.wait()
        except TeacherUnavailable as fault:
            assert fault.retry_after is not None and 0 < fault.retry_after <= LONGEST
            breaker.failed(fault)  # it wasn't asked: changes nothing
        else:
            probes.append(clock.now)
            breaker.failed(unavailable("connection"))
    gaps = [round(later - earlier) for earlier, later in itertools.pairwise(probes)]
    assert gaps == [2, 4, 8, 16, 30, 30, 30, 30, 30]


def test_one_answer_closes_it():
    breaker, clock = opened()
    assert breaker.is_open and breaker.state()["probe_in"] == FIRST
    clock.now += FIRST
    breaker.wait()
    breaker.answered()
    assert not breaker.is_open and breaker.wait() == 0.0
    assert breaker.state() == {"open": False, "failures": 0, "fault": "", "probe_in": None}


def test_people_are_told_of_an_outage_once():
    told: list[str] = []
    breaker, clock = opened(told)
    for _ in range(3):  # an endpoint that comes and goes
        breaker.answered()
        for _ in range(ENOUGH):
            breaker.failed(unavailable("500"))
        clock.now += 1
    assert len(told) == 1


def test_a_busy_teacher_is_not_down():
    breaker = Breaker("big-model", [].append, Clock())
    for _ in range(99):
        breaker.failed(unavailable("429"))
    assert not breaker.is_open and breaker.wait() == 0.0


def test_it_is_left_alone_for_as_long_as_it_asks():
    clock = Clock()
    breaker = Breaker("big-model", [].append, clock)
    breaker.failed(unavailable("429", retry_after=20.0))
    with pytest.raises(TeacherUnavailable, match="left alone") as caught:
        breaker.wait()
    assert caught.value.retry_after == 20.0
    clock.now += 19.5
    assert breaker.wait() == pytest.approx(0.5)
    clock.now += 0.5
    assert breaker.wait() == 0.0
    breaker.failed(unavailable("503", retry_after=86_400.0))
    clock.now += LONGEST
    assert breaker.wait() == 0.0
