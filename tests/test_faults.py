"""Fault points: in the tests they end the process, anywhere else they are nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import timeit
from pathlib import Path

import pytest

from tutelage import faults

SOURCE = Path(faults.__file__).parent
SCRIPT = (
    "from tutelage import faults\nfor n in range(3):\n    faults.point('asking')\n    print(n, flush=True)\n"
)


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    python = {"PYTHONPATH": str(SOURCE.parent), **environment}
    return subprocess.run([sys.executable, "-c", SCRIPT], env=python, capture_output=True, text=True)


def test_the_nth_passing_of_a_point_is_the_end() -> None:
    done = run({"TUTELAGE_FAULT": "asking:3", "PYTEST_CURRENT_TEST": "this one"})
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0", "1"])
    done = run({"TUTELAGE_FAULT": "asking", "PYTEST_CURRENT_TEST": "this one"})
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
    done = run({"TUTELAGE_FAULT": "opened", "PYTEST_CURRENT_TEST": "this one"})
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1", "2"])


def test_outside_the_tests_the_variable_is_not_looked_at() -> None:
    done = run({"TUTELAGE_FAULT": "asking"})
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1", "2"])


def test_a_point_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTELAGE_FAULT", "askin")
    with pytest.raises(KeyError, match="'askin'"):
        faults.arm()


def test_every_point_stands_in_the_code() -> None:
    code = "".join(path.read_text() for path in SOURCE.rglob("*.py") if path.name != "faults.py")
    assert set(re.findall(r'faults\.point\("(\w+)"\)', code)) == set(faults.POINTS)


def test_a_point_costs_less_than_100_ns() -> None:
    each = min(timeit.repeat(lambda: faults.point("asking"), number=20_000, repeat=20)) / 20_000
    assert each < 100e-9
