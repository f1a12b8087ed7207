"""Runs that are killed or interrupted lose nothing that was paid for, and ask nothing twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from killable import prompts_of
from labelling_runs import LONG, SEED, answered, attempts_left_open, is_sound, runs_of, table

from faulty_teacher import FaultyTeacher
from tutelage import storage
from tutelage.faults import POINTS
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme
from tutelage.stages import run_stage

CONCURRENCY = 4
KILLS = 200 if LONG else 25
STEADY = {"concurrency": CONCURRENCY}


def wait_for_requests(server: FaultyTeacher, count: int) -> None:
    deadline = time.monotonic() + 120
    while server.arrivals.total() < count:
        assert time.monotonic() < deadline, "the run asks nothing"
        time.sleep(0.001)


@pytest.mark.slow
def test_kills_at_random_moments_lose_no_answer_and_repeat_none(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    print(f"seed {SEED}, {KILLS} kills")  # shown where the test fails, and by `make faults`
    chance, count = random.Random(SEED), 6 * KILLS
    faulty_teacher.delay = 0.008
    path, url = tmp_path / "killed.sqlite", faulty_teacher.url
    on_disk: set[str] = set()
    with runs_of(url, path, prompts=count, labelling=STEADY) as runs:
        for _ in range(KILLS):
            before = faulty_teacher.arrivals.copy()
            child = runs.start()
            wait_for_requests(faulty_teacher, before.total() + chance.randint(1, 10))
            time.sleep(chance.uniform(0, 0.012))
            os.kill(child, signal.SIGKILL)
            assert runs.ended() == -signal.SIGKILL
            served = faulty_teacher.arrivals.copy()
            assert all(served[text] == before[text] for text in on_disk)
            still_there = answered(path, url, count)
            assert on_disk <= still_there
            on_disk = still_there
        assert len(on_disk) < count, "every kill met a run with work left"
        before = faulty_teacher.arrivals.copy()
        assert runs.whole() == 0
    served = faulty_teacher.arrivals
    assert all(served[text] == before[text] for text in on_disk)
    assert answered(path, url, count) == {prompt.text for prompt in prompts_of(count)}
    twice, open_ = faulty_teacher.proper.total() - count, attempts_left_open(path)
    print(f"{len(on_disk)} answers after {KILLS} kills; {twice} billed twice, {open_} attempts left open")
    assert twice <= served.total() - count <= open_ <= KILLS * CONCURRENCY
    assert faulty_teacher.most_under_way <= 2 * CONCURRENCY  # a killed run's last, and the next one's
    with runs_of(url, tmp_path / "whole.sqlite", prompts=count, labelling=STEADY) as runs:
        assert runs.whole() == 0
    assert table(path, url, count).equals(table(tmp_path / "whole.sqlite", url, count))


@pytest.mark.parametrize("point", [point for point in POINTS if not point.startswith(("export", "captur"))])
def test_a_kill_at_a_fault_point_loses_no_answer(
    tmp_path: Path, faulty_teacher: FaultyTeacher, point: str
) -> None:
    """At its first passing, in the middle, and wherever chance will have it."""
    count = 40
    path, url = tmp_path / "killed.sqlite", faulty_teacher.url
    faulty_teacher.delay = 0.001
    chance, kills = random.Random(f"{SEED}:{point}"), 0
    with runs_of(url, path, prompts=count, labelling=STEADY) as runs:
        for passing in [1, 9, *(chance.randint(2, 9) for _ in range(20 if LONG else 1))]:
            before = answered(path, url, count)
            code = runs.whole({"TUTELAGE_FAULT": f"{point}:{passing}"})
            assert code in {0, -signal.SIGKILL}
            kills += code != 0
            assert is_sound(path) and before <= answered(path, url, count)
        assert kills >= 3
        assert runs.whole() == 0
    twice, open_ = faulty_teacher.proper.total() - count, attempts_left_open(path)
    print(f"seed {SEED}, {point}: {kills} kills, {twice} billed twice, {open_} attempts left open")
    assert twice <= open_ <= kills * CONCURRENCY
    with AnswerLedger(path) as ledger:
        [summary] = ledger.summary()
        assert (summary.answers, summary.unaccounted > 0) == (count, open_ > 0)
    with runs_of(url, tmp_path / "whole.sqlite", prompts=count, labelling=STEADY) as runs:
        assert runs.whole() == 0
    assert table(path, url, count).equals(table(tmp_path / "whole.sqlite", url, count))


def programme_at(folder: Path, server: FaultyTeacher) -> Programme:
    """A programme of which gold and traffic stand, and nothing is labelled."""
    labels = ("refund", "card", "card stolen")
    words = "parcel invoice password refund courier charge account payment tracking price".split()
    texts = [f"{one} and {other}: what now" for one in words for other in words if one < other]
    rows = "".join(f"{text},{labels[n % 3]}\n" for n, text in enumerate(texts[:18]))
    folder.mkdir()
    (folder / "gold.csv").write_text("text,label\n" + rows)
    (folder / "traffic.csv").write_text("text\n" + "\n".join(texts[18:]) + "\n")
    teacher = {"type": "openai", "rights": "own-model", "model": "scripted-1", "base_url": server.url}
    content = {
        "gold": {"path": "gold.csv", "margin": 0.3},
        "traffic": {"path": "traffic.csv"},
        "teacher": {**teacher, "samples": 1},
        "labelling": STEADY,
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    programme = Programme.open(folder)
    for name in ("gold", "collect"):
        run_stage(programme, name)
    return programme


@pytest.mark.long
def test_a_kill_around_the_export_leaves_the_tables_as_an_uninterrupted_run_does(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    whole = programme_at(tmp_path / "whole", faulty_teacher)
    killed = tmp_path / "killed"
    shutil.copytree(whole.folder, killed)
    run_stage(whole, "label")
    programme, asked = Programme.open(killed), faulty_teacher.arrivals.total()
    with runs_of(faulty_teacher.url, killed / "x", programme=str(killed)) as runs:
        for fault in ("committed:5", "exporting", "exporting", "exported", "exported"):
            assert runs.whole({"TUTELAGE_FAULT": fault}) == -signal.SIGKILL
            assert is_sound(programme.answers)
        assert runs.whole() == 0
    assert faulty_teacher.arrivals.total() - asked <= asked + CONCURRENCY
    for table_of in ("transfer", "gold_answers"):
        there, wanted = (storage.read_table(getattr(each, table_of)) for each in (programme, whole))
        assert there.equals(wanted) and there.num_rows > 0
    assert run_stage(programme, "label") is False, "nothing is left to do"


def test_an_interrupt_keeps_what_arrived(tmp_path: Path, faulty_teacher: FaultyTeacher) -> None:
    count = 300
    faulty_teacher.delay = 0.01
    path, url = tmp_path / "a.sqlite", faulty_teacher.url
    with runs_of(url, path, prompts=count, labelling=STEADY) as runs:
        child = runs.start()
        wait_for_requests(faulty_teacher, 40)
        os.kill(child, signal.SIGINT)
        assert runs.ended() == 130
        on_disk = answered(path, url, count)
        assert faulty_teacher.arrivals.total() - CONCURRENCY <= len(on_disk) < count
        assert runs.whole() == 0
    assert all(faulty_teacher.arrivals[text] == 1 for text in on_disk)
    assert answered(path, url, count) == {prompt.text for prompt in prompts_of(count)}
