"""Recipes that a programme names by one key, through the stages: what run.json tells, and a student that answers."""

from __future__ import annotations

import json

import pytest
from inbox import inbox_programme

from tiny_world import save_checkpoint
from tutelage import storage
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.train import TRAIN
from tutelage.students import load_student

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    made = inbox_programme(
        tmp_path_factory.mktemp("programme"),
        teacher={"type": "encoder", "model": "teacher", "rights": "apache-2.0-weights"},
    )
    save_checkpoint(made / "teacher", layers=2)
    for stage in ("gold", "collect", "label"):
        run_stage(Programme.open(made), stage, Silent())
    return made


def trained(folder, name, **student):
    """The run's record, after a student of its folder has answered."""
    config = json.loads((folder / "tutelage.yaml").read_text()) | {"student": {"name": name, **student}}
    (folder / "tutelage.yaml").write_text(json.dumps(config))
    programme = Programme.open(folder)
    run_stage(programme, "train", Silent())
    assert TRAIN.reason_to_run(programme) is None
    for arm in ("student", "control"):
        found = load_student(programme.student / arm).predict(["where is my parcel", ""])
        assert found.shape == (2, 3) and found.sum(1) == pytest.approx(1.0, abs=1e-4)
    return storage.read_json(programme.student / "run.json")


def names(arm):
    return [phase["name"] for phase in arm["record"]["phases"]]


def test_integrated_tells_what_people_and_the_teacher_taught(labelled):
    run = trained(labelled, "integrated", family="static", recipe="integrated", members=1, epochs=1)
    assert names(run["student"]) == ["integrated"]
    (phase,) = run["student"]["record"]["phases"]
    assert 0 < phase["human_share"] < 1
    assert phase["human_share"] + phase["teacher_share"] == pytest.approx(1.0)
    assert run["control"]["labels"] == "gold" and run["control"]["examples"] < run["student"]["examples"]


def test_self_tells_of_each_generation_and_its_control_has_one(labelled):
    run = trained(labelled, "self", family="static", recipe="self", generations=2, members=1, epochs=1)
    assert names(run["student"]) == ["generation 1", "generation 2"]
    assert names(run["control"]) == ["soft targets"]


def test_static_begins_with_the_teachers_words_and_its_control_without(labelled):
    run = trained(labelled, "static", family="static", recipe="static", members=1, epochs=1)
    (phase,) = run["student"]["record"]["phases"]
    assert phase["words"] > phase["words_of_texts"] > 0
    assert "words" not in run["control"]["record"]["phases"][0]
    assert run["student"]["recipe"]["name"] == "static" and run["control"]["recipe"]["name"] == "soft-targets"


@pytest.mark.long
def test_prune_recover_tells_of_each_round_and_prunes_its_control_as_far(labelled):
    shape = {"layers": 1, "heads": 2, "hidden_size": 16, "intermediate_size": 32, "epochs": 1}
    run = trained(labelled, "pruned", family="encoder", base="teacher", recipe="prune-recover", **shape)
    task, *rounds = run["student"]["record"]["phases"]
    assert task["name"] == "soft targets" and len(rounds) > 1
    asked = {name: shape[name] for name in ("layers", "heads", "hidden_size", "intermediate_size")}
    (control,) = run["control"]["record"]["phases"]
    assert asked.items() <= rounds[-1].items() and asked.items() <= control.items()
    sizes = [
        load_student(labelled / "students" / "pruned" / arm).parameters for arm in ("student", "control")
    ]
    assert sizes[0] == sizes[1]
