"""A disk that is full or fails, at each write in turn, and several writers at once: nothing recorded is lost."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from killable import TASK
from labelling_runs import LONG, SEED, Runs, answered, is_sound, runs_of, table

from faulty_teacher import FaultyTeacher
from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.records import Answer, AnswerStatus, Prompt, Usage

COUNT = 12
STEADY = {"concurrency": 4}
WRITERS, EACH = (8, 10_000) if LONG else (4, 300)
MOST_WRITES = 2_000  # a run that needs more never comes clean


@pytest.fixture(scope="module")
def failing_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library to preload."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the failing disk is a preloaded library, and needs Linux with gcc")
    library = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(source)]
    subprocess.run([*command, "-ldl"], check=True)
    return library


def fail_at(n: int, error: str, path: Path) -> dict[str, str]:
    """The environment of a run whose disk fails at write or sync `n`."""
    return {
        "FAILING_DISK_FILES": path.name,
        "FAILING_DISK_AT": str(n),
        "FAILING_DISK_ERROR": error,
        "FAILING_DISK_LOG": str(path.with_suffix(".failed")),
    }


def remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.stem}.*"):
        file.unlink()


def fails_clearly(runs: Runs, path: Path, server: FaultyTeacher, n: int, error: str) -> str | None:
    """One run whose n-th write fails and one that goes on; what failed, None where the run came clean."""
    url = server.url
    remove(path)
    code = runs.whole(fail_at(n, error, path))
    failed = path.with_suffix(".failed")
    if not failed.exists():
        assert code == 0, runs.said
        return None
    what = failed.read_text()
    if code != 0:  # where it is 0, SQLite did without that write, and says nothing of it
        said = runs.said
        assert (code, said["error"]) == (2, "DataError"), (n, what, said)
        assert path.name in said["text"] and "Mend:" in said["text"]
    assert is_sound(path), (n, what)
    before, asked = answered(path, url, COUNT), server.arrivals.copy()
    assert runs.whole() == 0, runs.said
    assert all(server.arrivals[text] == asked[text] for text in before), "what was on disk is not asked again"
    return what


def moments(error: str) -> list[int]:
    """Which writes fail: all, or in the short version the first, which make the file, and some by chance."""
    if LONG:
        return list(range(1, MOST_WRITES))
    chance = random.Random(f"{SEED}:{error}")
    return [1, 2, 3, 5, *sorted(chance.sample(range(6, 60), 8)), MOST_WRITES]


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", pytest.param("EIO", marks=pytest.mark.long)])
def test_a_failing_disk_ends_a_run_clearly_and_the_next_goes_on(
    tmp_path: Path, faulty_teacher: FaultyTeacher, failing_disk: Path, error: str
) -> None:
    path, whole = tmp_path / "a.sqlite", tmp_path / "whole.sqlite"
    with runs_of(faulty_teacher.url, whole, prompts=COUNT, labelling=STEADY) as runs:
        assert runs.whole() == 0
    wanted, failures, clean = table(whole, faulty_teacher.url, COUNT), [], 0
    preloaded = {"LD_PRELOAD": str(failing_disk)}
    with runs_of(faulty_teacher.url, path, preloaded, prompts=COUNT, labelling=STEADY) as runs:
        for n in moments(error):
            what = fails_clearly(runs, path, faulty_teacher, n, error)
            assert table(path, faulty_teacher.url, COUNT).equals(wanted)
            if what is None:
                clean += 1
                if LONG and clean == 3:  # the number of writes differs by a few from run to run
                    break
            else:
                failures.append(what)
    kinds = sorted({what.split()[1] for what in failures})
    print(f"seed {SEED}, {error}: {len(failures)} failures of {', '.join(kinds)}; clean from write {n} on")
    assert clean and len(failures) >= 8


@pytest.mark.long
def test_the_command_line_tells_of_a_full_disk_in_words(
    tmp_path: Path, faulty_teacher: FaultyTeacher, failing_disk: Path
) -> None:
    folder = tmp_path / "programme"
    folder.mkdir()
    (folder / "gold.csv").write_text("text,label\n" + "".join(f"g {n},{'ab'[n % 2]}\n" for n in range(30)))
    (folder / "traffic.csv").write_text("text\n" + "".join(f"message {n} {'yz' * n}\n" for n in range(9)))
    (folder / "tutelage.yaml").write_text(
        "gold: {path: gold.csv, margin: 0.4}\ntraffic: {path: traffic.csv}\nteacher: {type: openai, rights: "
        f"own-model, model: scripted-1, base_url: '{faulty_teacher.url}', samples: 1}}\n"
    )
    faulty_teacher.answer_to = lambda text: '{"label": "a"}'  # type: ignore[method-assign]
    command = [sys.executable, "-m", "tutelage"]
    for stage in ("gold", "collect"):
        subprocess.run([*command, stage, str(folder)], check=True, capture_output=True)
    full = {"LD_PRELOAD": str(failing_disk), **fail_at(9, "ENOSPC", folder / "answers.sqlite")}
    done = subprocess.run(
        [*command, "label", str(folder)], env={**os.environ, **full}, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Mend:" in said and "space" in said and "Traceback" not in said
    again = subprocess.run([*command, "label", str(folder)], capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr


def write_answers(path: str, writer: int) -> None:
    """`EACH` answers, one a transaction."""
    key = LedgerKey("teacher", "revision", TASK.version)
    answer = Answer(AnswerStatus.OK, "refund", raw='{"label": "refund"}', usage=Usage(20, 5, 0.25, 0.01, 1))
    with AnswerLedger(Path(path)) as ledger:
        for number in range(EACH):
            prompt = Prompt(f"{writer}-{number}", f"{writer} writes {number}")
            ledger.record(key, [(prompt, answer)], [ledger.open_attempt(key, 0.5)])


@pytest.mark.slow
def test_writers_at_once_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    processes = [
        get_context("spawn").Process(target=write_answers, args=(str(path), writer))
        for writer in range(WRITERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * WRITERS
    assert is_sound(path)
    with AnswerLedger(path) as ledger:
        [summary] = ledger.summary()
        assert (summary.answers, summary.attempts) == (WRITERS * EACH, WRITERS * EACH)
        assert ledger.spent() == pytest.approx(WRITERS * EACH * 0.25)
    print(f"{summary.answers:,} rows of {WRITERS} writers")
