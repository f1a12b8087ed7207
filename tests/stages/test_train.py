"""`train` in several processes of torchrun: one student, written once; what can't be shared is refused."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from inbox import letter_counting_inbox
from typer.testing import CliRunner

from halting import lives
from tiny_world import save_checkpoint
from torchrun import ended, started, torchrun
from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.stages import run_stage
from tutelage.students import load_student

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.slow
TEXTS = ["where is my parcel", "i forgot the password", "the invoice is wrong"]


def labelled(folder: Path, **student) -> Programme:
    folder.mkdir()
    letter_counting_inbox(folder, gold={"path": "gold.csv", "training": {"share": 0.4}}, student=student)
    programme = Programme.open(folder)
    for name in ("gold", "collect", "coverage", "label"):
        run_stage(programme, name)
    return programme


def journalled(programme: Programme) -> list[str]:
    return [entry.event for entry in programme.journal.entries()]


@pytest.mark.long
@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_make_one_student_and_write_it_once(tmp_path, one_torch_thread, shard):
    # Dropout is drawn by each process for itself, so that with it two wouldn't be one.
    save_checkpoint(tmp_path / "tiny", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    shape = {"layers": 1, "epochs": 2, "batch_size": 16, "shard": shard}
    near = labelled(tmp_path / "near", family="encoder", base=str(tmp_path / "tiny"), **shape)
    shutil.copytree(near.folder, tmp_path / "far")
    far = Programme.open(tmp_path / "far")
    run_stage(near, "train")
    done = torchrun("-m", "tutelage", "train", str(far.folder))
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout + done.stderr
    assert said.count("runs: it has not run yet") == 1, said
    one, two = (storage.read_json(programme.student / "run.json") for programme in (near, far))
    for arm in ("student", "control"):
        assert two[arm]["record"]["steps"] == one[arm]["record"]["steps"]
        found, wanted = (load_student(p.student / arm).predict(TEXTS) for p in (far, near))
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    far.journal.verify()
    assert journalled(far) == journalled(near)
    assert [path.name for path in (far.folder / "students").iterdir()] == [far.student.name]
    assert far.student.name == near.student.name
    assert run_stage(far, "train") is False


@pytest.mark.long
@pytest.mark.parametrize(("by", "rank"), [("torchrun", "1"), ("accelerate", "0")])
def test_a_process_that_is_killed_costs_no_step_before_the_checkpoint(tmp_path, by, rank):
    """With dropout, which each process draws for itself: the random numbers of both go on."""
    save_checkpoint(tmp_path / "tiny")
    shape = {"layers": 1, "epochs": 2, "batch_size": 8}
    near = labelled(tmp_path / "near", family="encoder", base=str(tmp_path / "tiny"), **shape)
    shutil.copytree(near.folder, tmp_path / "far")
    far = Programme.open(tmp_path / "far")
    script = Path(__file__).with_name("halting_train.py")
    process = started(script, far.folder, by=by)
    while not (tmp_path / "halted").exists():
        assert process.poll() is None, ended(process).stderr[-3000:]
        time.sleep(0.05)
    ranks = [one for one in psutil.Process(process.pid).children(recursive=True) if "RANK" in one.environ()]
    next(one for one in ranks if one.environ()["RANK"] == rank).kill()
    (tmp_path / "on").touch()
    assert ended(process).returncode != 0
    done = torchrun(script, far.folder, by=by)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = lives(tmp_path / "steps")
    kept = first[-2][0]
    assert first == [(number, "training student") for number in range(1, kept + 2)]
    assert second[0] == (kept + 1, "training student")
    done = torchrun("-m", "tutelage", "train", near.folder, by=by)
    assert done.returncode == 0, done.stderr[-3000:]
    for arm in ("student", "control"):
        found, wanted = (
            {path.name: path.read_bytes() for path in (one.student / arm).rglob("*.safetensors")}
            for one in (far, near)
        )
        assert found and found == wanted, "bit for bit"
    far.journal.verify()
    assert [path.name for path in (far.folder / "students").iterdir()] == [far.student.name]


def be_second(monkeypatch):
    """Of two processes."""
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


def test_a_later_process_neither_waits_for_the_folder_nor_writes(tmp_path, monkeypatch):
    programme = labelled(tmp_path / "inbox", family="static", epochs=2, members=1)
    run_stage(programme, "train")
    be_second(monkeypatch)
    before = journalled(programme)
    with programme.locked():
        result = CliRunner().invoke(app, ["train", str(programme.folder)])
    assert result.exit_code == 0 and not result.output
    assert journalled(programme) == before
    with pytest.raises(
        UsageError, match=r"recipe 'soft-targets' of family static is the work of one.*started 2"
    ):
        run_stage(programme, "train", force=True)
    assert journalled(programme) == before


@pytest.mark.parametrize("verb", ["label", "run", "evaluate"])
def test_other_verbs_are_the_work_of_one_process(tmp_path, monkeypatch, verb):
    be_second(monkeypatch)
    result = CliRunner().invoke(app, [verb, str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "started 2" in str(result.exception) and "Mend: leave them out" in str(result.exception)
    assert not list(tmp_path.iterdir())
