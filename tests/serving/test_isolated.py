from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager

import pytest
import uvloop
from served_world import LABELS, export, toy_student

from tutelage.errors import IntegrityError, StudentUnavailable
from tutelage.serving.isolated import IsolatedStudent
from tutelage.students.static import StaticStudent
from tutelage.tasks import Classify

TASK = Classify(LABELS, "Sort the message.")
LONG = 60.0  # seconds, where how long it takes isn't what is looked at
SHORT = 0.15
# A child that speaks as the real one does until its text says what else to do.
SCRIPT = """
import json, sys, time, os
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    number, text = json.loads(line)
    if text == "hang":
        time.sleep(60)
    elif text == "late":
        time.sleep(0.3)
    elif text == "die":
        os._exit(3)
    elif text.startswith("say "):
        print(text[4:].replace("#", str(number)), flush=True)
        continue
    print(json.dumps([number, [0.1, 0.8, 0.1]]), flush=True)
"""


@asynccontextmanager
async def running(script=SCRIPT, timeout=LONG):
    student = IsolatedStudent([sys.executable, "-S", "-c", script], TASK, "r1", timeout)
    await student.up(LONG)
    try:
        yield student
    finally:
        await student.close()


async def value_once_up(student):
    """What it says as soon as it says something again, however long that takes."""
    student._timeout = LONG
    ends = time.monotonic() + LONG
    while time.monotonic() < ends:
        try:
            return (await student.predict("x")).value
        except StudentUnavailable:
            await asyncio.sleep(0.02)
    raise AssertionError("it did not come back")


def test_the_real_child_says_what_the_student_says(tmp_path):
    folder = export(tmp_path, "float32", toy_student())

    async def scene():
        student = await IsolatedStudent.start(folder, TASK, timeout=LONG)
        try:
            return await asyncio.gather(*(student.predict(text) for text in ("refund", "stolen", "")))
        finally:
            await student.close()

    expected = toy_student().predict(["refund", "stolen", ""])
    for said, row in zip(asyncio.run(scene()), expected, strict=True):
        assert said.probabilities == pytest.approx(row, abs=1e-6)


def test_one_of_other_labels_is_refused_before_it_starts(tmp_path):
    toy = toy_student()
    other = StaticStudent(LABELS[::-1], False, toy.features, toy.vocabulary, toy.table, toy.bias)
    folder = export(tmp_path, "float32", other)
    with pytest.raises(IntegrityError, match="labels"):
        asyncio.run(IsolatedStudent.start(folder, TASK, timeout=LONG))


def test_killed_again_and_again_it_comes_back():
    async def scene():
        async with running() as student:
            for restarts in range(1, 4):
                os.kill(student._child.pid, signal.SIGKILL)
                assert await value_once_up(student) == "card stolen"
                assert student.restarts == restarts

    asyncio.run(scene())


@pytest.mark.parametrize(
    "factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_one_that_hears_no_more_is_started_again(factory):
    """Whichever loop: writing to a pipe that is closed is an error of another kind in each."""

    async def scene():
        async with running() as student:
            student._child.stdin.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(StudentUnavailable):
                await student.predict("x")
            assert await value_once_up(student) == "card stolen"
            assert student.restarts == 1

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scene())


def test_who_waits_when_it_dies_is_told_at_once():
    async def scene():
        async with running() as student:
            began = time.monotonic()
            done = await asyncio.gather(student.predict("die"), student.predict("x"), return_exceptions=True)
            assert [type(each) for each in done] == [StudentUnavailable] * 2
            assert time.monotonic() - began < LONG / 2
            assert await value_once_up(student) == "card stolen"

    asyncio.run(scene())


def test_one_that_hangs_is_killed_and_started_again():
    async def scene():
        async with running(timeout=SHORT) as student:
            child = student._child
            done = await asyncio.gather(
                *[student.predict("hang")] * 1,
                *(student.predict("x") for _ in range(3)),
                return_exceptions=True,
            )
            assert [type(each) for each in done] == [StudentUnavailable] * 4
            assert await value_once_up(student) == "card stolen"
            assert child.returncode is not None and student.restarts == 1

    asyncio.run(scene())


def test_an_answer_that_comes_too_late_is_nobody_elses():
    async def scene():
        async with running(timeout=SHORT) as student:
            with pytest.raises(StudentUnavailable, match="within"):
                await student.predict("late")
            assert await value_once_up(student) == "card stolen"  # the child says one after the other
            assert student.restarts == 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("rubbish", "dies"),
    [
        ("not json", True),
        ("[" * 5_000, True),
        ("null", True),
        ('[{}, "x"]', True),
        ("[[1], 2]", True),
        ('{"a": 1}', True),
        ('[#, "it failed"]', False),
        ("[#, null]", False),
        ("[#, [NaN, 0.5, 0.5]]", False),
        ("[#, [1]]", False),
        ('[#, ["a", "b", "c"]]', False),
        ("[#, [[1], [2, 3]]]", False),
        ("[#, [1" + "0" * 400 + ", 0, 0]]", False),
        ("[#, {}]", False),
    ],
)
def test_rubbish_is_no_prediction_and_does_no_lasting_harm(rubbish, dies):
    async def scene():
        async with running() as student:
            with pytest.raises(StudentUnavailable):
                await student.predict("say " + rubbish)
            assert await value_once_up(student) == "card stolen"
            assert student.restarts == dies

    asyncio.run(scene())


def test_an_answer_to_what_nobody_asked_is_passed_over():
    async def scene():
        async with running(timeout=SHORT) as student:
            with pytest.raises(StudentUnavailable, match="within"):
                await student.predict("say [999, [1.0, 0.0, 0.0]]")
            assert await value_once_up(student) == "card stolen"

    asyncio.run(scene())


def test_one_that_never_comes_up_is_told_and_leaves_nothing_behind():
    async def scene():
        student = IsolatedStudent([sys.executable, "-S", "-c", "raise SystemExit(1)"], TASK, "r1", 1.0)
        with pytest.raises(StudentUnavailable, match="not ready"):
            await student.up(0.5)
        with pytest.raises(StudentUnavailable):
            await student.predict("x")
        assert student.restarts <= 4, "each start waits longer than the one before"
        await student.close()

    asyncio.run(scene())


def test_without_a_program_to_start_it_tries_again():
    async def scene():
        student = IsolatedStudent(["/nowhere/python"], TASK, "r1", 1.0)
        with pytest.raises(StudentUnavailable):
            await student.up(0.3)
        assert not student._keeper.done()
        student._command = [sys.executable, "-S", "-c", SCRIPT]
        assert await value_once_up(student) == "card stolen"
        await student.close()

    asyncio.run(scene())
