from __future__ import annotations

import os
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
    for verb in "init check gold collect label train evaluate report run status doctor review vote".split():
        assert re.search(rf"^\s+{verb}\b", result.output, re.M), verb


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from tutelage.cli.app import app\n"
        "from typer.testing import CliRunner\n"
        "CliRunner().invoke(app, ['--help'])\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'scipy', 'pandas', 'pyarrow', 'pydantic', 'openai'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_status_imports_neither_numpy_nor_what_stands_on_it(tmp_path):
    assert _tutelage("init", str(tmp_path)).returncode == 0
    code = (
        "import sys; from tutelage.cli.app import app\n"
        "from typer.testing import CliRunner\n"
        f"result = CliRunner().invoke(app, ['status', {str(tmp_path)!r}])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'numpy', 'torch', 'transformers', 'sklearn', 'scipy', 'pyarrow', 'aiohttp', 'jinja2'}\n"
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    assert _tutelage("init", str(tmp_path)).returncode == 0
    tmp_path.chmod(0o500)
    try:
        result = _tutelage("check", str(tmp_path))
    finally:
        tmp_path.chmod(0o700)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("tutelage: ") and "programme.lock" in result.stderr


def test_a_file_where_a_folder_has_to_be_is_one_line(tmp_path):
    assert _tutelage("init", str(tmp_path)).returncode == 0
    (tmp_path / "gold.csv").write_text("text,label\na,x\nb,y\nc,x\nd,y\n")
    (tmp_path / "traffic.csv").write_text("text\nz\n")
    (tmp_path / "gold").touch()
    result = _tutelage("gold", str(tmp_path))
    assert result.returncode == 2, result.stderr
    assert re.fullmatch(r"tutelage: .*gold: .* Mend: .*\n", result.stderr)


@pytest.mark.long
def test_a_terminal_of_an_older_coding_ends_no_run(tmp_path):
    folder = tmp_path / "caf\udce9 – 日本"
    folder.mkdir()
    for coding in ("ascii", "latin-1", "utf-8"):
        (folder / "tutelage.yaml").unlink(missing_ok=True)
        environment = os.environ | {"PYTHONIOENCODING": coding}
        for verb in ("init", "status"):
            command = [sys.executable, "-m", "tutelage", verb, str(folder)]
            result = subprocess.run(command, capture_output=True, env=environment, timeout=60)
            assert result.returncode == 0, result.stderr
