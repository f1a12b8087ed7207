"""A student that learns its teacher's layers, through the stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from inbox import inbox_programme

from tiny_world import _shape, _tokenizer, save_checkpoint
from tutelage import storage
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.train import TRAIN

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.slow

STUDENT = {
    "recipe": "tinybert",
    "name": "tiny",
    "layers": 1,
    "hidden_size": 16,
    "heads": 4,
    "intermediate_size": 32,
    "epochs": 1,
    "body": {"epochs": 2, "augmentation": 1},
}


def _save(folder: Path) -> None:
    torch.manual_seed(1)
    transformers.BertForMaskedLM(_shape("bert", 2)).save_pretrained(folder)
    _tokenizer("bert").save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = inbox_programme(
        tmp_path_factory.mktemp("programme"),
        teacher={"type": "encoder", "model": "teacher", "rights": "apache-2.0-weights"},
        student=STUDENT,
    )
    _save(made / "teacher")
    for stage in ("gold", "collect", "label", "train"):
        run_stage(Programme.open(made), stage, Silent())
    return made


def test_run_json_tells_of_each_phase_of_both_arms(folder):
    run = storage.read_json(folder / "students" / "tiny" / "run.json")
    phases = run["student"]["record"]["phases"]
    assert [phase["name"] for phase in phases] == ["general", "intermediate", "soft targets"]
    assert phases[1]["augmented"] > 0
    control = run["control"]["record"]["phases"]
    assert [phase["name"] for phase in control] == ["soft targets"]
    assert (
        run["student"]["recipe"]["task"]["schedule"]["learning_rate"]
        == (run["control"]["recipe"]["schedule"]["learning_rate"])
    )


@pytest.mark.long
def test_what_the_teacher_computed_is_kept_for_later_runs(folder, monkeypatch):
    from tutelage.distillation.teacher_body import TeacherBody

    assert list((folder / "answers" / "signals" / "tinybert" / "layers").glob("*.safetensors"))
    monkeypatch.setattr(TeacherBody, "load", lambda self: pytest.fail("the teacher's weights were loaded"))
    run_stage(Programme.open(folder, ["student.hidden_size=8", "student.name=smaller"]), "train", Silent())


def test_another_body_or_other_prompts_train_anew(folder):
    assert TRAIN.reason_to_run(Programme.open(folder)) is None
    _save(folder / "other")
    changed = Programme.open(folder, ["student.body.teacher=other"])
    assert "student" in str(TRAIN.reason_to_run(changed))


def test_hidden_states_that_label_kept_teach_without_the_teachers_weights(tmp_path, monkeypatch):
    from tutelage.distillation.teacher_body import TeacherBody
    from tutelage.distillation.teacher_layers import Kept, Reader

    folder = inbox_programme(
        tmp_path,
        teacher={"type": "encoder", "model": "teacher", "rights": "apache-2.0-weights"},
        labelling={"signals": ["hidden_states"]},
        student={"recipe": "distilbert", "layers": 1, "epochs": 1, "body": {"epochs": 1}},
    )
    save_checkpoint(folder / "teacher")
    for stage in ("gold", "collect", "label"):
        run_stage(Programme.open(folder), stage, Silent())
    body, _layers, used = TeacherBody.load, Kept.layers, []
    monkeypatch.setattr(TeacherBody, "load", lambda self: pytest.fail("the teacher's weights were loaded"))
    monkeypatch.setattr(
        Kept, "layers", lambda self, batch: used.append((self, batch)) or _layers(self, batch)
    )
    run_stage(Programme.open(folder), "train", Silent())
    assert not (folder / "answers" / "signals" / "distilbert").exists()
    kept, batch = used[0]
    states = Reader(body(TeacherBody.at("teacher", folder)).eval(), kept.wanted)(batch).last
    mask = batch["attention_mask"].bool()
    torch.testing.assert_close(_layers(kept, batch).states[3][mask], states[mask], atol=5e-3, rtol=5e-3)
