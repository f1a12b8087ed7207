"""`engine: ray` trains: the same student by one worker, the same to rounding by two."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

pytest.importorskip("ray", reason="engine: ray needs tutelage[scale]")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from beginning import Beginning, Halting
from inbox import inbox_programme, letter_counting_inbox

from halting import lives
from tiny_world import save_checkpoint
from tutelage import storage
from tutelage.config import EngineConfig
from tutelage.errors import ConfigError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.scale import open_engine
from tutelage.stages import run_stage
from tutelage.stages.train import Training
from tutelage.students import load_student

TEXTS = ["where is my parcel", "i forgot the password", "the invoice is wrong"]


class Told(Silent):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(text)


def labelled_inbox(folder, student):
    inbox_programme(folder, student=student)
    programme = Programme.open(folder)
    for name in ("gold", "collect", "coverage", "label"):
        run_stage(programme, name)
    return programme


def trained(programme, engine, told):
    path = programme.folder / "tutelage.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"engine": engine}))
    again = Programme.open(programme.folder)
    run_stage(again, "train", told, force=True)
    student = load_student(again.student / "student")
    return student.predict(TEXTS), storage.read_json(again.student / "run.json")


@pytest.mark.long
def test_a_static_student_is_the_same_by_one_worker(tmp_path, nodes):
    programme = labelled_inbox(tmp_path, {"family": "static", "epochs": 5})
    near, at_home = trained(programme, "local", Told())
    told = Told()
    far, away = trained(programme, {"type": "ray", "address": nodes.address}, told)
    assert any("2 workers on 2 nodes" in line for line in told.lines)
    np.testing.assert_allclose(far, near, atol=1e-6)
    assert away["student"]["examples"] == at_home["student"]["examples"]
    assert not list((programme.folder / "students").glob(".*"))


@pytest.mark.long
def test_two_workers_share_an_encoder_s_steps(tmp_path, nodes):
    # Dropout is drawn by each process for itself, so that with it two wouldn't be one.
    save_checkpoint(tmp_path / "tiny", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    student = {
        "family": "encoder",
        "base": str(tmp_path / "tiny"),
        "layers": 1,
        "epochs": 2,
        "batch_size": 16,
    }
    programme = labelled_inbox(tmp_path, student)
    near, at_home = trained(programme, "local", Told())
    told = Told()
    far, away = trained(programme, {"type": "ray", "address": nodes.address}, told)
    np.testing.assert_allclose(far, near, atol=1e-3)
    assert away["student"]["record"]["steps"] == at_home["student"]["record"]["steps"]


@pytest.mark.long
def test_a_training_whose_worker_is_killed_is_begun_again(tmp_path, nodes, kill_worker):
    told, killed = Told(), []

    def kill_midway():
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        time.sleep(2.0)
        killed.append(kill_worker("ray::RayTrainWorker"))

    thread = threading.Thread(target=kill_midway)
    thread.start()
    with open_engine(EngineConfig(type="ray", address=nodes.address), told) as engine:
        assert (
            engine.train(Beginning(tmp_path), told, tmp_path / "kept", shared=False) == "went on where it was"
        )
    thread.join()
    assert killed == [True]
    assert "begun" in told.lines
    assert any("broke off" in line and "goes on from its checkpoint" in line for line in told.lines)


@pytest.mark.long
def test_an_error_of_a_training_is_raised_here_and_not_tried_again(tmp_path, nodes):
    told = Told()
    with (
        open_engine(EngineConfig(type="ray", address=nodes.address), told) as engine,
        pytest.raises(ConfigError, match="student.base is none"),
    ):
        engine.train(Beginning(tmp_path, fails=True), told, tmp_path / "kept", shared=True)
    assert not any("broke off" in line for line in told.lines)


@pytest.mark.long
def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_weights(
    tmp_path, nodes, kill_worker, one_torch_thread
):
    """With dropout: the random numbers go on too."""
    save_checkpoint(tmp_path / "tiny")
    student = {"family": "encoder", "base": str(tmp_path / "tiny"), "layers": 1, "epochs": 2}
    (tmp_path / "inbox").mkdir()
    letter_counting_inbox(
        tmp_path / "inbox",
        gold={"path": "gold.csv", "training": {"share": 0.4}},
        student={**student, "batch_size": 8},
    )
    programme = Programme.open(tmp_path / "inbox")
    for name in ("gold", "collect", "coverage", "label"):
        run_stage(programme, name)
    near, far = (tmp_path / name for name in ("near", "far"))
    for folder in (near, far):
        (folder / "run").mkdir(parents=True)
    Training(programme, near / "run", near / "kept")(Silent())
    halted, killed = far / "halted", []

    def kill_there():
        while not halted.exists():
            time.sleep(0.05)
        killed.append(kill_worker("ray::RayTrainWorker"))

    thread = threading.Thread(target=kill_there, daemon=True)
    thread.start()
    told = Told()
    with open_engine(EngineConfig(type="ray", address=nodes.address), told) as engine:
        engine.train(Halting(programme, far / "run", far / "kept"), told, far / "kept", shared=False)
    assert killed == [True] and any("goes on from its checkpoint" in line for line in told.lines)
    for arm in ("student", "control"):
        found, wanted = (
            {path.name: path.read_bytes() for path in (folder / "run" / arm).rglob("*.safetensors")}
            for folder in (far, near)
        )
        assert found and found == wanted, "bit for bit"
    first, second = lives(far / "steps")
    kept = first[-2][0]  # that of the last check: the step in which it stood still was run again
    assert first == [(number, "training student") for number in range(1, kept + 2)]
    assert second[0] == (kept + 1, "training student")
