from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_world import LABELS, toy_student

from tutelage.errors import IntegrityError, StudentUnavailable
from tutelage.serving.student import InProcessStudent, check_labels, read_prediction
from tutelage.tasks import Classify

TASK = Classify(LABELS, "Sort the message.")
SURE = np.array([0.1, 0.8, 0.1], np.float32)


class Scripted:
    """A runtime, not a static one, that does what `does` says."""

    labels, multi_label = LABELS, False

    def __init__(self, does):
        self.does, self.calls = does, 0

    def predict(self, texts):
        self.calls += 1
        return self.does(texts)


def student(does, timeout=60.0):
    return InProcessStudent(Scripted(does), TASK, "r1", timeout)


def test_it_says_value_and_confidence():
    said = asyncio.run(student(lambda texts: SURE[None]).predict("x"))
    assert (said.value, said.confidence) == ("card stolen", pytest.approx(0.8))


@pytest.mark.parametrize(
    "row",
    [
        [np.nan, 0.5, 0.5],
        [np.inf, 0.0, 0.0],
        [0.5, 0.5],
        [0.2, 0.2, 0.2],
        [2.0, -1.0, 0.0],
        [[0.1, 0.8, 0.1]],
        [],
        3.0,
        [1, 0, 0],
        ["a", "b", "c"],
        [None, 1.0, 0.0],
        [[1.0], [0.0, 1.0], [0.5]],
        [1e300, 1e300, 1e300],
        [10**400, 0, 0],
    ],
    ids=str,
)
def test_what_is_no_probabilities_is_refused(row):
    with pytest.raises(StudentUnavailable):
        asyncio.run(student(lambda texts: [row]).predict("x"))


@pytest.mark.parametrize("whole", [None, [], [SURE, SURE], 3, "x"], ids=str)
def test_as_is_what_is_no_row_at_all(whole):
    with pytest.raises(StudentUnavailable):
        asyncio.run(student(lambda texts: whole).predict("x"))


@given(row=st.lists(st.floats(width=32), min_size=3, max_size=3))
def test_whatever_it_says_is_a_prediction_or_refused(row):
    try:
        said = read_prediction(np.array(row, np.float32), TASK)
    except StudentUnavailable:
        return
    assert said.value in LABELS and 0.3 <= said.confidence <= 1.01
    assert np.isfinite(said.probabilities).all()


@pytest.mark.parametrize(
    "error", [MemoryError(), KeyError("x"), RuntimeError("onnx"), SystemExit(1)], ids=repr
)
def test_whatever_it_raises_is_told_as_unavailable(error):
    def does(texts):
        raise error

    broken = student(does)
    for _ in range(2):  # and its thread lives on
        if isinstance(error, SystemExit):
            with pytest.raises(SystemExit):
                asyncio.run(broken.predict("x"))
        else:
            with pytest.raises(StudentUnavailable):
                asyncio.run(broken.predict("x"))


def test_one_that_hangs_is_left_behind_and_the_next_request_answered():
    release = threading.Event()

    def does(texts):
        if texts == ["hang"]:
            release.wait(30)
        return SURE[None]

    hanging = student(does, timeout=0.1)

    async def scene():
        with pytest.raises(StudentUnavailable, match="within 0.1 s"):
            await hanging.predict("hang")
        ends = time.monotonic() + 20
        while time.monotonic() < ends:  # a machine that halts makes one or another late
            try:
                return await hanging.predict("x")
            except StudentUnavailable:
                pass
        raise AssertionError("it waits for the one that hangs")

    assert asyncio.run(scene()).value == "card stolen" and not release.is_set()
    release.set()


def test_those_who_wait_behind_one_that_hangs_are_told_so_and_not_cancelled():
    """Forty requests at once: each is told that the student is unavailable, none ends otherwise."""
    release = threading.Event()

    def does(texts):
        release.wait(30)
        return SURE[None]

    hanging = student(does, timeout=0.1)

    async def scene():
        asked = [asyncio.create_task(hanging.predict("x")) for _ in range(40)]
        await asyncio.wait(asked)
        return [type(task.exception()) for task in asked]

    assert asyncio.run(scene()) == [StudentUnavailable] * 40
    release.set()


def test_it_does_not_hang_on_ever_more_threads():
    release = threading.Event()

    def does(texts):
        release.wait(30)
        return SURE[None]

    hanging = student(does, timeout=0.02)
    before = threading.active_count()

    async def scene():
        for _ in range(20):
            with pytest.raises(StudentUnavailable):
                await hanging.predict("x")
        assert threading.active_count() - before <= 4
        release.set()
        hanging._timeout = 60.0
        ends = time.monotonic() + 60
        while time.monotonic() < ends:  # it comes back once they do
            try:
                return await hanging.predict("x")
            except StudentUnavailable:
                await asyncio.sleep(0.01)
        return None

    assert asyncio.run(scene()) is not None


def test_one_that_is_only_busy_keeps_its_thread():
    """Each of twelve takes 20 ms, in which all that wait for longer give up; it is never one that hangs."""

    def does(texts):
        time.sleep(0.02)
        return SURE[None]

    busy = student(does)

    async def scene():
        await busy.predict("x")
        worker, busy._timeout = busy._worker, 0.1
        worker.busy_for = lambda: 0.02  # what it took, however long the machine halted
        done = await asyncio.gather(*(busy.predict("x") for _ in range(12)), return_exceptions=True)
        assert busy._worker is worker
        busy._timeout = 60.0
        return [type(each).__name__ for each in done], await busy.predict("x")

    given_up, said = asyncio.run(scene())
    assert "StudentUnavailable" in given_up and said.value == "card stolen"


def test_a_static_one_answers_where_it_is_asked():
    before = threading.active_count()
    said = asyncio.run(InProcessStudent(toy_student(), TASK, "r1", 1.0).predict("refund"))
    assert said.value == "refund" and threading.active_count() == before


def test_labels_in_another_order_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="their order"):
        check_labels(tmp_path, LABELS[::-1], TASK)
