"""What `tutelage init` writes says what was asked for, whatever the characters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tutelage.cli.app import app
from tutelage.cli.template import write_template
from tutelage.config import load_config
from tutelage.errors import TutelageError, UsageError
from tutelage.programme import CONFIG_NAME

RUNNER = CliRunner()
NAMES = {"gold": "gold.csv", "traffic": "traffic.csv", "text": "text", "label": "label"}


def _written(folder, teacher="encoder", **names):
    config = load_config(write_template(folder, teacher=teacher, **(NAMES | names)))
    return {
        "gold": config.gold.path,
        "traffic": config.traffic.path,
        "text": config.gold.columns.text,
        "label": config.gold.columns.label,
    }, config


@pytest.mark.parametrize("teacher", ["encoder", "openai", "transformers"])
def test_the_file_says_what_was_asked_for(tmp_path, teacher):
    names = {"gold": "data/gold.csv", "traffic": "hf://owner/name", "text": "body", "label": "intent"}
    written, config = _written(tmp_path / "new" / "deep", teacher, **names)
    assert written == names
    assert config.teacher.type == teacher
    assert config.traffic.columns.text == "body"
    assert config.gold.training is not None


def test_a_teacher_that_costs_money_starts_with_a_budget(tmp_path):
    _, config = _written(tmp_path, "openai")
    assert config.labelling.budget is not None and config.teacher.price is not None


ODD = (
    "my gold.csv", "gold: #1.csv", 'say "so".csv', "it's.csv", "C:\\data\\new.csv", "{gold}.csv", "{0}", "}{", "%s",
    "[red].csv", "a,b", "- a", "? a", "&a *b", "!tag", "@x", "`x`", "yes", "null", "3", "1.0", "2024-01-01", "~", " ",
    "${HOME}.csv", "日本語.csv", "🙂", "café", "a\tb", "a\nb", "a\u00a0b", "\ufeffa",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_characters_are_kept(tmp_path, name):
    names = dict.fromkeys(NAMES, name)
    assert _written(tmp_path, **names)[0] == names


@settings(max_examples=150, deadline=None)
@given(name=st.text(min_size=1, max_size=12))
@example("a\x85b")
@example("a\u2028b")
@example("a\x7fb")
@example("a\x1bb")
@example("a\ufffeb")
@example("x" * 2_000)
def test_any_text_is_kept(tmp_path_factory, name):
    # YAML folds some line breaks that JSON leaves as they are, and refuses some control characters.
    names = dict.fromkeys(NAMES, name)
    assert _written(tmp_path_factory.mktemp("init"), **names)[0] == names


def test_names_reach_the_file_from_the_command_line(tmp_path):
    options = [part for key in NAMES for part in (f"--{key}", f'[red] "{key}": #1')]
    result = RUNNER.invoke(app, ["init", str(tmp_path / "[bold]new"), *options])
    assert result.exit_code == 0, result.output
    config = load_config(tmp_path / "[bold]new" / CONFIG_NAME)
    assert (config.gold.path, config.gold.columns.label) == ('[red] "gold": #1', '[red] "label": #1')
    assert "[bold]new" in result.output


def test_a_file_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / CONFIG_NAME).write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        _written(tmp_path)
    assert (tmp_path / CONFIG_NAME).read_text() == "mine"


def test_a_teacher_of_no_known_kind_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="'oracle' is none of encoder, openai, transformers"):
        _written(tmp_path / "new", "oracle")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [b"caf\xe9.csv".decode("utf-8", "surrogateescape")])
def test_a_name_that_cannot_stand_in_the_file_is_refused_and_nothing_written(tmp_path, name):
    # A file left behind would make the next `tutelage init` say that there is one already.
    with pytest.raises(TutelageError):
        _written(tmp_path / "new", gold=name)
    assert not (tmp_path / "new" / CONFIG_NAME).exists()


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path):
    # And no traceback.
    (tmp_path / "notes.txt").write_text("mine")
    command = [sys.executable, "-m", "tutelage", "init", str(tmp_path / "notes.txt")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("tutelage: ") and result.stderr.count("\n") == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_files_named_from_here_are_written_as_seen_from_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gold.csv").write_text("text,label\n")
    path = write_template(
        Path("mine"), gold="gold.csv", traffic="later.csv", text="text", label="label", teacher="encoder"
    )
    config = load_config(path)
    assert (config.gold.path, config.traffic.path) == ("../gold.csv", "later.csv")
