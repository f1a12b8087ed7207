"""What `tutelage init` writes says what was asked for, whatever the characters."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tutelage.cli.app import app
from tutelage.cli.template import TEACHER_TYPES, write_template
from tutelage.config import load_config
from tutelage.errors import GateRefused, TutelageError, UsageError
from tutelage.programme import CONFIG_NAME, Programme
from tutelage.stages import run_stage

RUNNER = CliRunner()
NAMES = {"gold": "gold.csv", "traffic": "traffic.csv", "text": "text", "label": "label"}


def _written(folder, teacher="encoder", task="classify", **names):
    config = load_config(write_template(folder, teacher=teacher, task=task, **(NAMES | names)).path)
    return {
        "gold": config.gold.path,
        "traffic": config.traffic.path,
        "text": config.gold.columns.text,
        "label": config.gold.columns.label,
    }, config


TASKS = ("classify", "judge", "extract", "generate")
TOGETHER = [
    (task, teacher)
    for task in TASKS
    for teacher in TEACHER_TYPES
    if task in {"classify", "judge"} or teacher not in {"encoder", "transformers"}
]
VALUES = {
    "classify": ["billing", "delivery"],
    "judge": ["1", "5"],
    "extract": [{"order": "A-17", "amount": 12.5}, {"order": None, "amount": None}],
    "generate": ["We refund it today.", "It is on its way."],
}


def _with_files(folder: Path, task: str, teacher: str) -> list[str]:
    """Write the file, gold of 250 examples and traffic beside it, and the model that it names."""
    values = VALUES[task]
    rows = [{"text": sha256(b"%d" % n).hexdigest(), "label": values[n % 2]} for n in range(250)]
    (folder / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "traffic.csv").write_text("text\nwhere is my parcel\n")
    names = NAMES | {"gold": "gold.jsonl"}
    written = write_template(folder, task=task, teacher=teacher, **names)
    if "teacher.model" in written.to_set and teacher in {"local", "transformers"}:
        (folder / "model").mkdir()
        (folder / "model" / "model.safetensors").touch()
        return ["teacher.model=model"]
    return []


@pytest.mark.parametrize(("task", "teacher"), TOGETHER)
def test_every_task_and_teacher_load_and_pass_check_once_what_is_to_be_set_is_set(
    tmp_path, monkeypatch, task, teacher
):
    if teacher in {"encoder", "transformers", "local", "ensemble"}:
        pytest.importorskip("transformers", reason="the extra train is not installed")
    overrides = _with_files(tmp_path, task, teacher)
    programme = Programme.open(tmp_path)
    assert (programme.config.task.type, programme.config.teacher.type) == (task, teacher)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-test")
    assert programme.config.student.writes == (task in {"extract", "generate"})
    if "override:" in (tmp_path / CONFIG_NAME).read_text():
        with pytest.raises(GateRefused, match="review"):
            run_stage(programme, "check")
        entry = f"{teacher if teacher != 'ensemble' else 'openai'}-api"
        decision = f"{{entry: {entry}, name: Ada Counsel, reason: our contract allows it}}"
        overrides.append(f"rights.override={decision}")
    run_stage(Programme.open(tmp_path, overrides), "check")


@pytest.mark.parametrize(("task", "teacher"), TOGETHER)
def test_what_has_to_be_set_is_there_and_marked(tmp_path, task, teacher):
    written = write_template(tmp_path, task=task, teacher=teacher, **NAMES)
    lines = written.path.read_text().splitlines()
    marked = {line.split(":")[0].strip(" #") for line in lines if re.search(r"# set\b", line)}
    assert {key.rsplit(".", 1)[-1] for key in written.to_set} <= marked
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("task", ["extract", "generate"])
@pytest.mark.parametrize("teacher", [None, "encoder", "transformers"])
def test_a_task_of_open_values_needs_a_teacher_that_writes(tmp_path, task, teacher):
    with pytest.raises(UsageError, match="Mend: name one of local, openai, anthropic, human, ensemble"):
        write_template(tmp_path / "new", task=task, teacher=teacher, **NAMES)
    assert not (tmp_path / "new").exists()


def test_what_to_set_is_told_on_the_command_line(tmp_path):
    result = RUNNER.invoke(app, ["init", str(tmp_path / "my new"), "--task", "judge", "--teacher", "openai"])
    assert result.exit_code == 0, result.output
    for part in ("task.rubric, task.scale", "labelling.budget", "Export OPENAI_API_KEY", "my new'"):
        assert part in result.output
    plain = RUNNER.invoke(app, ["init", str(tmp_path / "plain")])
    assert "Set in it" not in plain.output and "Then: tutelage check" in plain.output


@pytest.mark.parametrize("teacher", ["encoder", "openai", "transformers"])
def test_the_file_says_what_was_asked_for(tmp_path, teacher):
    names = {"gold": "data/gold.csv", "traffic": "hf://owner/name", "text": "body", "label": "intent"}
    written, config = _written(tmp_path / "new" / "deep", teacher, **names)
    assert written == names
    assert config.teacher.type == teacher
    assert config.traffic.columns.text == "body"
    assert config.gold.training is not None


def test_a_teacher_that_costs_money_starts_with_a_budget(tmp_path):
    for teacher in ("openai", "anthropic", "ensemble"):
        _, config = _written(tmp_path / teacher, teacher)
        assert config.labelling.budget is not None


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


def test_a_teacher_or_task_of_no_known_kind_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="'opena' is none of encoder, .* Did you mean 'openai'"):
        _written(tmp_path / "new", "opena")
    with pytest.raises(UsageError, match="--task 'sort' is none of classify, judge, extract, generate$"):
        _written(tmp_path / "new", task="sort")
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
    config = load_config(write_template(Path("mine"), **(NAMES | {"traffic": "later.csv"})).path)
    assert (config.gold.path, config.traffic.path) == ("../gold.csv", "later.csv")
