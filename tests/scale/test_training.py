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

from inbox import inbox_programme

from tiny_world import save_checkpoint
from tutelage import storage
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
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
def test_a_training_whose_worker_is_killed_goes_on_from_its_checkpoint(tmp_path, nodes, kill_worker):
    programme = labelled_inbox(tmp_path, {"family": "static", "epochs": 60})
    checkpoints = tmp_path / "students" / ".checkpoint-static"
    killed = []

    def kill_midway():
        while not list(checkpoints.rglob("*.safetensors")):
            time.sleep(0.05)
        killed.append(kill_worker("ray::RayTrainWorker"))

    thread = threading.Thread(target=kill_midway)
    told = Told()
    thread.start()
    _, away = trained(programme, {"type": "ray", "address": nodes.address}, told)
    thread.join()
    assert killed == [True]
    assert any("broke off" in line and "goes on from its checkpoint" in line for line in told.lines)
    assert away["student"]["record"]["steps"] > 0
    assert not list((tmp_path / "students").glob(".*"))
