from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tutelage.cli.app import app

RUNNER = CliRunner()


def _tutelage(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "tutelage", *arguments], capture_output=True, text=True, cwd=cwd, timeout=60
    )


def test_help_names_every_verb():
    result = RUNNER.invoke(app, ["--help"])
    assert result.exit_code == 0
    for verb in "init check gold collect label train evaluate report run status doctor".split():
        assert re.search(rf"^\s+{verb}\b", result.output, re.M), verb


def test_help_and_status_import_nothing_heavy(tmp_path):
    code = (
        "import sys; from tutelage.cli.app import app\n"
        "from typer.testing import CliRunner\n"
        "CliRunner().invoke(app, ['--help'])\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'scipy', 'pandas', 'pyarrow', 'pydantic', 'openai'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("teacher", ["encoder", "openai", "transformers"])
def test_init_writes_a_file_that_loads(tmp_path, teacher):
    result = _tutelage("init", str(tmp_path / "new"), "--teacher", teacher, "--gold", "my gold.csv")
    assert result.returncode == 0, result.stderr
    assert "my gold.csv" in (tmp_path / "new" / "tutelage.yaml").read_text()
    again = _tutelage("init", str(tmp_path / "new"))
    assert again.returncode == 2 and "exists already" in again.stderr


def test_an_error_is_one_line_with_its_exit_status(tmp_path):
    result = _tutelage("run", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr.startswith("tutelage: ") and "tutelage init" in result.stderr
    assert "Traceback" not in result.stderr


def test_status_of_an_untouched_programme(tmp_path):
    assert _tutelage("init", str(tmp_path)).returncode == 0
    result = _tutelage("status", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "it has not run yet" in result.stdout


def test_doctor_finds_what_is_here():
    result = _tutelage("doctor")
    assert result.returncode == 0, result.stderr
    assert "torch" in result.stdout
