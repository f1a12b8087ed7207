"""Runs that are killed or interrupted lose nothing that was paid for, and ask nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from faulty_teacher import FaultyTeacher
from tutelage.config import OpenAITeacherConfig
from tutelage.labelling import AnswerLedger, LedgerKey, export_answers
from tutelage.records import Prompt
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers.openai import OpenAITeacher

TASK = Classify(("refund", "card", "card stolen"))
PROMPTS = [Prompt(str(number), f"prompt {number} " + "x" * (number % 7)) for number in range(300)]
CONCURRENCY = 4
KILLS = 50


class Runs:
    """The process that forks runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def start(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        """Wait for the run; its exit code, negative for the signal that killed it."""
        return os.waitstatus_to_exitcode(int(self._line()))


@contextmanager
def runs_of(url: str, ledger: Path) -> Iterator[Runs]:
    script = Path(__file__).with_name("killable.py")
    arguments = [sys.executable, str(script), url, str(ledger), str(len(PROMPTS)), str(CONCURRENCY)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Runs(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def key_for(url: str) -> LedgerKey:
    config = OpenAITeacherConfig(rights="own", model="scripted-1", base_url=url, samples=1)
    return LedgerKey.of(OpenAITeacher(config, TeacherContext(TASK, (), Path())), TASK)


def answered(path: Path, url: str) -> set[str]:
    """Texts with an answer on disk."""
    with AnswerLedger(path) as ledger:
        hashes = ledger.answered(key_for(url), [prompt.hash for prompt in PROMPTS])
    return {prompt.text for prompt in PROMPTS if prompt.hash in hashes}


def table(path: Path, url: str) -> pa.Table:
    with AnswerLedger(path) as ledger:
        assert sum(item.answers for item in ledger.summary()) == len(PROMPTS)
        return export_answers(PROMPTS, ledger, key_for(url), TASK, {})


def wait_for_requests(server: FaultyTeacher, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(server.requests) < count:
        assert time.monotonic() < deadline, "the run asks nothing"
        time.sleep(0.001)


@pytest.mark.slow
def test_fifty_kills_lose_no_answer_and_repeat_none(tmp_path: Path, faulty_teacher: FaultyTeacher) -> None:
    seed = int(os.environ.get("TUTELAGE_KILL_SEED", "20"))
    print(f"seed {seed}")  # shown where the test fails
    chance = random.Random(seed)
    faulty_teacher.delay = 0.008
    path, url = tmp_path / "killed.sqlite", faulty_teacher.url
    on_disk: set[str] = set()
    with runs_of(url, path) as runs:
        for _ in range(KILLS):
            before = faulty_teacher.served
            child = runs.start()
            wait_for_requests(faulty_teacher, before.total() + chance.randint(1, 10))
            time.sleep(chance.uniform(0, 0.012))
            os.kill(child, signal.SIGKILL)
            assert runs.ended() == -signal.SIGKILL
            served = faulty_teacher.served
            assert all(served[text] == before[text] for text in on_disk)
            still_there = answered(path, url)
            assert on_disk <= still_there
            on_disk = still_there
        print(f"{len(on_disk)} answers after {KILLS} kills")
        assert len(on_disk) < len(PROMPTS), "every kill met a run with work left"
        before = faulty_teacher.served
        runs.start()
        assert runs.ended() == 0
    served = faulty_teacher.served
    assert all(served[text] == before[text] for text in on_disk)
    assert answered(path, url) == {prompt.text for prompt in PROMPTS}
    assert served.total() - len(PROMPTS) <= KILLS * CONCURRENCY
    assert faulty_teacher.most_under_way <= 2 * CONCURRENCY  # a killed run's last, and the next one's
    with runs_of(url, tmp_path / "whole.sqlite") as runs:
        runs.start()
        assert runs.ended() == 0
    assert table(path, url).equals(table(tmp_path / "whole.sqlite", url))


def test_an_interrupt_keeps_what_arrived(tmp_path: Path, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.delay = 0.01
    path, url = tmp_path / "a.sqlite", faulty_teacher.url
    with runs_of(url, path) as runs:
        child = runs.start()
        wait_for_requests(faulty_teacher, 40)
        os.kill(child, signal.SIGINT)
        assert runs.ended() == 130
        on_disk = answered(path, url)
        assert faulty_teacher.served.total() - CONCURRENCY <= len(on_disk) < len(PROMPTS)
        runs.start()
        assert runs.ended() == 0
    served = faulty_teacher.served
    assert all(served[text] == 1 for text in on_disk)
    assert answered(path, url) == {prompt.text for prompt in PROMPTS}
