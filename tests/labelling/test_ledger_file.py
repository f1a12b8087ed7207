"""The ledger's file among several writers and on a disk that fails.

TUTELAGE_WRITERS=8x10000 makes the first test the long one.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tutelage.errors import DataError, UsageError
from tutelage.labelling import AnswerLedger, LedgerKey, _ledger_file
from tutelage.records import Answer, AnswerStatus, Prompt, Usage

KEY = LedgerKey("t", "r", "v")
ANSWER = Answer(AnswerStatus.OK, "a", raw="x" * 2_000, usage=Usage(20, 5, 0.25, calls=1))

_WRITER = """
import sys
from pathlib import Path
from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.records import Answer, AnswerStatus, Prompt, Usage

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
key, answer = LedgerKey("t", "r", "v"), Answer(AnswerStatus.OK, "a", usage=Usage(20, 5, 0.25, calls=1))
prompts = [Prompt("", f"{name} {number}") for number in range(count)]
with AnswerLedger(path) as ledger:
    for start in range(0, count, 50):
        part = prompts[start : start + 50]
        ledger.record(key, [(prompt, answer) for prompt in part], [ledger.open_attempt(key, 1.0)])
"""


def test_several_processes_write_into_one_file(tmp_path: Path) -> None:
    writers, each = map(int, os.environ.get("TUTELAGE_WRITERS", "4x500").split("x"))
    path = tmp_path / "new" / "a.sqlite"  # which of them makes it is left to chance
    processes = [
        subprocess.Popen([sys.executable, "-c", _WRITER, path, f"writer {number}", str(each)])
        for number in range(writers)
    ]
    assert [process.wait(timeout=600) for process in processes] == [0] * writers
    with AnswerLedger(path) as ledger:
        assert ledger._select("PRAGMA integrity_check") == [("ok",)]
        assert ledger.read_answers(KEY, ["hash"]).num_rows == writers * each
        [row] = ledger.summary()
        assert (row.answers, row.cost, row.input_tokens) == (
            writers * each,
            writers * each / 4,
            writers * each * 20,
        )
        assert (ledger.spent(), row.attempts) == (row.cost, writers * -(-each // 50))


def test_a_writer_waits_for_another_and_says_who_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ledger_file, "_TURN", 0.01)
    path = tmp_path / "a.sqlite"
    with AnswerLedger(path) as ledger, AnswerLedger(path) as other:
        held = threading.Event()

        def hold() -> None:
            with other.transaction():
                held.set()
                time.sleep(0.2)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(60)
        ledger.record(KEY, [(Prompt("", "waited"), ANSWER)])  # longer than SQLite itself would wait
        thread.join()
        monkeypatch.setattr(_ledger_file, "PATIENCE", 0.05)
        with other.transaction(), pytest.raises(DataError, match="locked.* Mend: wait for the processes"):
            ledger.record(KEY, [(Prompt("", "in vain"), ANSWER)])
        ledger.record(KEY, [(Prompt("", "in vain"), ANSWER)])
        assert ledger.summary()[0].answers == 2


def test_it_is_read_while_another_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with AnswerLedger(path) as writer, writer.transaction():
        writer.record(KEY, [(Prompt("", "not committed"), ANSWER)])
        with AnswerLedger(path) as reader:
            assert reader.summary() == [] and reader.read_answers(KEY).num_rows == 0


def _prompts(start: int, count: int = 20) -> list[tuple[Prompt, Answer]]:
    return [(Prompt("", f"text {number}"), ANSWER) for number in range(start, start + count)]


def _is_whole(path: Path, most: int) -> int:
    """Assert that a file is sound and holds whole batches, and its sums what its answers say."""
    with AnswerLedger(path) as ledger:
        assert ledger._select("PRAGMA integrity_check") == [("ok",)]
        count = ledger.read_answers(KEY, ["hash"]).num_rows
        assert count % 20 == 0 and count <= most
        assert sum(row.answers for row in ledger.summary()) == count
        assert ledger.spent() == count / 4
    return count


@pytest.mark.parametrize("nested", [False, True])
def test_a_full_disk_keeps_what_was_recorded_and_takes_more_later(tmp_path: Path, nested: bool) -> None:
    path = tmp_path / "a.sqlite"
    with AnswerLedger(path) as ledger:
        ledger.record(KEY, _prompts(0))
        [(pages,)] = ledger._select("PRAGMA page_count")
        ledger._select(f"PRAGMA max_page_count={pages + 3}")
        with (
            pytest.raises(DataError, match="full.* Mend: free some space.*what was recorded is kept"),
            ledger.transaction() if nested else nullcontext(),
        ):
            ledger.record(KEY, _prompts(20))
        assert ledger.answered(KEY, [prompt.hash for prompt, _ in _prompts(0, 40)]) == {
            prompt.hash for prompt, _ in _prompts(0)
        }
        ledger.record(KEY, _prompts(20))  # on a connection of its own: the limit was the old one's
    assert _is_whole(path, 40) == 40


@contextmanager
def _files_end_at(size: int) -> Iterator[None]:
    """The kernel refuses every write past `size` bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_writes_that_fail_anywhere_leave_whole_batches(tmp_path: Path) -> None:
    refused = 0
    for number, size in enumerate(range(0, 1_200_000, 40_000)):
        path = tmp_path / f"{number}.sqlite"
        recorded = 0
        with _files_end_at(size):
            try:
                with AnswerLedger(path) as ledger:
                    for start in range(0, 100, 20):
                        ledger.record(KEY, _prompts(start))
                        recorded = start + 20
            except DataError as error:
                refused += 1
                assert "Mend: " in str(error)
        assert recorded <= _is_whole(path, recorded + 20)
        with AnswerLedger(path) as ledger:
            done = ledger.answered(KEY, [prompt.hash for prompt, _ in _prompts(0, 100)])
            ledger.record(KEY, [pair for pair in _prompts(0, 100) if pair[0].hash not in done])
        assert _is_whole(path, 100) == 100
    assert 10 < refused < 30  # so that some end well


def test_a_rollback_that_fails_costs_the_connection_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    with AnswerLedger(path) as ledger:
        ledger.record(KEY, _prompts(0))
        monkeypatch.setattr(_ledger_file, "_roll_back", lambda database: False)
        with pytest.raises(RuntimeError, match="in between"), ledger.transaction():
            ledger.record(KEY, _prompts(20))
            raise RuntimeError("in between")
        monkeypatch.undo()
        assert len(ledger.answered(KEY, [prompt.hash for prompt, _ in _prompts(0, 40)])) == 20
        ledger.record(KEY, _prompts(20))
    assert _is_whole(path, 40) == 40


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = AnswerLedger(tmp_path / "a.sqlite")
    ledger.close()
    ledger.close()
    for act in (ledger.spent, lambda: ledger.record(KEY, _prompts(0))):
        with pytest.raises(UsageError, match="was closed already"):
            act()
