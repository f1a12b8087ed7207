"""Runs of labelling in processes of their own (`killable.py`), and what they left."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from killable import TASK, prompts_of, teacher_of

from tutelage.labelling import AnswerLedger, LedgerKey, export_answers

LONG = os.environ.get("TUTELAGE_FAULTS") == "long"  # as `make faults` sets it
SEED = int(os.environ.get("TUTELAGE_FAULT_SEED", "20"))


class Runs:
    """The process that forks runs."""

    def __init__(self, process: subprocess.Popen[str], ledger: Path) -> None:
        self._process, self._ledger = process, ledger
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def start(self, environment: Mapping[str, str] | None = None) -> int:
        """Start a run; its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(environment or {})}\n")
        self._process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        """Wait for the run; its exit code, negative for the signal that killed it."""
        return os.waitstatus_to_exitcode(int(self._line()))

    def whole(self, environment: Mapping[str, str] | None = None) -> int:
        """Start a run and wait for it; its exit code."""
        self.start(environment)
        return self.ended()

    @property
    def said(self) -> dict[str, Any]:
        """What the last run that wasn't killed ended with: `report`, or `error` and `text`."""
        said: dict[str, Any] = json.loads(self._ledger.with_suffix(".said").read_text())
        return said


@contextmanager
def runs_of(
    url: str, ledger: Path, environment: Mapping[str, str] | None = None, **spec: Any
) -> Iterator[Runs]:
    """Runs that ask `url`; `spec` as in `killable.py`, `environment` from the process's start."""
    script = Path(__file__).with_name("killable.py")
    given = json.dumps({"url": url, "ledger": str(ledger), **spec})
    with subprocess.Popen(
        [sys.executable, str(script), given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        yield Runs(process, ledger)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(120) == 0


def key_for(url: str) -> LedgerKey:
    """Under which a run's answers stand."""
    return LedgerKey.of(teacher_of(url), TASK)


def answered(path: Path, url: str, count: int) -> set[str]:
    """Texts of the first `count` prompts with an answer on disk."""
    prompts = prompts_of(count)
    with AnswerLedger(path) as ledger:
        hashes = ledger.answered(key_for(url), [prompt.hash for prompt in prompts])
    return {prompt.text for prompt in prompts if prompt.hash in hashes}


def table(path: Path, url: str, count: int) -> pa.Table:
    """The final table of `count` prompts, of which each has one answer."""
    with AnswerLedger(path) as ledger:
        assert sum(item.answers for item in ledger.summary()) == count
        return export_answers(prompts_of(count), ledger, key_for(url), TASK, {})


def attempts_left_open(path: Path) -> int:
    """Calls that the ledger holds for made and unaccounted."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM attempts WHERE state='open'").fetchone()[0])


def is_sound(path: Path) -> bool:
    """Whether SQLite finds the file whole."""
    with closing(sqlite3.connect(path)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
