from __future__ import annotations

import json
from pathlib import Path

import pytest
from inbox import inbox_programme
from typer.testing import CliRunner

from tutelage import __version__
from tutelage.cli.app import app
from tutelage.errors import IntegrityError, UsageError
from tutelage.programme import Programme, code_fingerprint
from tutelage.stages import run_stage
from tutelage.stages.trace import programme_of, trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = inbox_programme(tmp_path_factory.mktemp("traced"), student={"family": "static", "epochs": 1})
    programme = Programme.open(made)
    for stage in ("gold", "collect", "coverage", "label"):
        run_stage(programme, stage)
    return made


def test_a_transfer_set_is_followed_to_its_sources_and_decisions(folder):
    programme = Programme.open(folder)
    found = trace(programme, programme.transfer)
    assert found.entry.data["stage"] == "label" and found.entry.data["version"] == __version__
    made_of = {part.path: part for part in found.made_of}
    assert {"prompts/prompts.parquet", "gold/sealed.parquet", "gold/training.parquet"} <= set(made_of)
    assert "traffic's file" in made_of["prompts/prompts.parquet"].sources
    assert "gold's file" in made_of["gold/sealed.parquet"].sources
    gates = [entry.data["gate"] for entry in found.decisions if entry.event == "gate"]
    assert "rights" in gates
    [asked, *_] = [entry for entry in found.decisions if entry.event == "labelled"]
    assert asked.data["revision"]


def test_the_run_that_left_it_is_named_though_another_came_after(folder):
    programme = Programme.open(folder)
    first = trace(programme, programme.prompts).entry.sequence
    run_stage(programme, "collect", force=True)
    assert trace(programme, programme.prompts).entry.sequence > first


def test_a_changed_file_is_no_stages(folder):
    programme = Programme.open(folder)
    path = programme.profile
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    try:
        with pytest.raises(UsageError, match=r"profile\.json is not as any stage.*Mend"):
            trace(programme, path)
    finally:
        path.write_bytes(before)
    with pytest.raises(UsageError, match="is not there"):
        trace(programme, folder / "absent")
    with pytest.raises(UsageError, match="no programme's folder"):
        programme_of(Path("/file"))


def test_the_command_line_tells_it_in_words_and_as_json(folder):
    run = CliRunner().invoke
    path = str(folder / "answers" / "transfer.parquet")
    told = run(app, ["audit", "trace", path]).stdout
    assert "by stage label" in told and "rights gate for" in told and "traffic's file" in told
    assert "read 20" in told and "gold.training.seed 0" in told and f"({code_fingerprint()[:12]})" in told
    assert "(see above)" in told
    plain = json.loads(run(app, ["audit", "trace", path, "--json"]).stdout)
    assert plain["stage"] == "label" and plain["made_of"] and plain["code"] == code_fingerprint()
    assert plain["seeds"]["prompting.seed"] == 0 and "student.seed" not in plain["seeds"]
    assert "whole. Head: " in run(app, ["audit", "verify", str(folder)]).stdout


def test_a_broken_chain_traces_nothing(folder):
    programme = Programme.open(folder)
    path = programme.journal.path
    before = path.read_bytes()
    path.write_bytes(before.replace(b'"sealed"', b'"Sealed"', 1))
    try:
        with pytest.raises(IntegrityError, match="line 1|line 2"):
            trace(programme, programme.transfer)
        assert CliRunner().invoke(app, ["audit", "verify", str(folder)]).exception is not None
    finally:
        path.write_bytes(before)
