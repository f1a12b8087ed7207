"""Rights through the stages: an entry that expires or changes blocks all that stands on it, and says the mend."""

from __future__ import annotations

import csv
import shutil
from datetime import date
from pathlib import Path

import pytest
import yaml
from inbox import inbox_programme
from served_world import live
from typer.testing import CliRunner

from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import GateRefused, UsageError
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.rights import Use, basis_text, read_basis
from tutelage.serving.shelf import Shelf
from tutelage.stages import run_export, run_stage
from tutelage.stages.evaluate import EVALUATE
from tutelage.stages.rights import decide
from tutelage.stages.served import take_served
from tutelage.stages.transfer import read_transfer

pytestmark = pytest.mark.slow

BEFORE, AFTER = date(2026, 11, 25), date(2027, 2, 1)
ENTRY = {
    "id": "partner-model",
    "provider": "Partner Ltd",
    "access": "weights",
    "models": ["minilm-l6"],
    "clause": "Letter of 2 November: its answers may train classifiers.",
    "source": "letters/7.pdf",
    "read": "2026-11-01",
    "expires": "2027-01-01",
    "verdicts": {"classifier": {"internal": "allow", "distributed": "allow"}},
    "duties": ["Name Partner Ltd beside the student."],
}


def write_entry(folder: Path, **changes) -> None:
    (folder / "rights.yaml").write_text(yaml.safe_dump([ENTRY | changes]))


def opened(folder: Path, today: date = BEFORE, *overrides: str) -> Programme:
    return Programme.open(folder, overrides, today=lambda: today)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A programme up to its export, under an entry of its own that counts until the end of the year."""
    folder = inbox_programme(
        tmp_path_factory.mktemp("finished"),
        teacher={"type": "encoder", "rights": "partner-model"},
        rights={"registry": "rights.yaml"},
        student={"family": "static", "epochs": 2},
    )
    write_entry(folder)
    programme = opened(folder)
    for stage in ("gold", "collect", "coverage", "label", "train", "evaluate"):
        run_stage(programme, stage)
    run_export(programme, Silent())
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "programme"))


@pytest.mark.long
def test_every_answer_and_artifact_says_what_it_stands_under(folder):
    programme = opened(folder)
    clause = Use.of(programme, "classifier").registry.find("partner-model").clause_hash
    stands = f"partner-model@{clause}"
    with AnswerLedger(programme.answers) as ledger:
        assert {row[0] for row in ledger._select("SELECT DISTINCT basis FROM answers")} == {stands}
    table = storage.read_table(programme.transfer)
    assert set(table["basis"].to_pylist()) == {stands}
    assert storage.read_json(programme.teacher_record)["bases"] == {stands: table.num_rows}
    run = storage.read_json(programme.student / "run.json")["rights"]
    assert run == {
        "bases": {stands: table.num_rows},
        "student_kind": "classifier",
        "distribution": "internal",
    }
    exported = storage.read_json(programme.exports / "export.json")
    assert exported["rights"] == run
    [duty] = exported["duties"]
    assert (duty["entry"], duty["text"]) == ("partner-model", "Name Partner Ltd beside the student.")
    notice = (programme.exports / "float32" / "NOTICE").read_text()
    assert "partner-model (Partner Ltd; its answers taught the student): letters/7.pdf" in notice
    assert "partner-model, for people to see to: Name Partner Ltd beside the student." in notice
    decision = storage.read_json(programme.evaluation / "decision.json")
    assert decision["rights"] == run
    assert {"pass"} == {item["verdict"] for item in decision["evidence"] if item["term"] == "rights"}
    assert Shelf(programme).usual(None).rights.facts["bases"] == run["bases"]


LATER = r"(?s)partner-model.*expired on 2027-01-01.*Mend: .*rights decide"


def test_a_row_whose_teachers_right_expires_is_blocked_in_all_five_places(folder):
    """Labelling, training, export, release and serving of one programme; taking what was served is a sixth."""
    later = opened(folder, AFTER)
    blocked = {
        "label": lambda: run_stage(later, "label", force=True),
        "collect --from-serving": lambda: take_served(later, Silent(), most=1),
        "train": lambda: run_stage(later, "train", force=True),
        "export": lambda: run_export(later, Silent()),
    }
    for place, act in blocked.items():
        journalled = _gates_that_failed(later)
        with pytest.raises(GateRefused, match=LATER):
            act()
        assert _gates_that_failed(later) > journalled or place == "train", place

    # What comes before has to run for its own refusal; the decision itself is what is looked at here.
    EVALUATE.run(later, Silent())
    decision = storage.read_json(later.evaluation / "decision.json")
    [term] = [item for item in decision["evidence"] if item["term"] == "rights"]
    assert (decision["verdict"], term["verdict"]) == ("fail", "fail") and "expired" in term["reason"]

    with live(later) as served:
        said = served.predict("where is my parcel").json()
        assert (said["by"], said["stage"], said["reason"]) == ("teacher", "off", "rights lapsed")
        refused = served.roll("full")
        assert refused.status_code == 400 and "expired on 2027-01-01" in refused.json()["error"]["message"]


def _gates_that_failed(programme: Programme) -> int:
    entries = [entry.data for entry in programme.journal.entries() if entry.event == "gate"]
    return sum("rights" in str(one["gate"]) and one["verdict"] == "fail" for one in entries)


def test_a_decision_opens_what_expired_and_trains_nothing_anew(folder):
    later = opened(folder, AFTER)
    ruling = decide(
        later, "partner-model", allow=True, name="Ada Counsel", reason="Renewed by letter of 20 January",
        conditions=["Delete the answers by May."],
    )  # fmt: skip
    assert ruling.until == date(2028, 2, 1)
    [entry] = [entry for entry in later.journal.entries() if entry.event == "rights decided"]
    assert entry.data["id"] == ruling.id and entry.data["ruled"] == "conditional"
    assert not run_stage(later, "train"), "the same answers may teach as before"
    run_export(later, Silent())
    Shelf(later).usual(None).require_rights()
    decide(later, "partner-model", allow=False, name="Ada Counsel", reason="The letter was withdrawn")
    with pytest.raises(GateRefused, match="decided on 2027-02-01 against"):
        run_export(later, Silent())


def test_a_changed_clause_blocks_what_was_given_under_the_other(folder):
    write_entry(folder, clause="Letter of 9 December: no answers for training.", verdicts=ENTRY["verdicts"])
    programme = opened(folder)
    with pytest.raises(GateRefused, match=r"stand under partner-model@.*reads otherwise now.*rights show"):
        run_stage(programme, "train", force=True)
    with pytest.raises(GateRefused, match="reads otherwise now"):
        run_export(programme, Silent())
    decide(programme, "partner-model", allow=True, name="Ada Counsel", reason="Given before; they agreed")
    run_export(programme, Silent())


def test_rows_of_a_lapsed_right_are_counted_and_may_be_left_out(folder):
    """A transfer set with answers under two rights, one of which has lapsed."""
    programme = opened(folder)
    table = storage.read_table(programme.transfer)
    stands = table["basis"].to_pylist()
    lapsed = 5
    bases = ["xai-api@77ab"] * lapsed + stands[lapsed:]
    place = table.schema.get_field_index("basis")
    storage.write_table(programme.transfer, table.set_column(place, "basis", [bases]))
    with pytest.raises(
        GateRefused, match=rf"{lapsed} of {len(bases)} answers of the transfer set stand under xai"
    ):
        read_transfer(programme)
    told: list[str] = []

    class Told(Silent):
        def warn(self, text: str) -> None:
            told.append(text)

    kept = read_transfer(opened(folder, BEFORE, "rights.lapsed=leave_out"), Told())
    assert kept["basis"].to_pylist() == stands[lapsed:] and "left out" in told[0] and "xai-api" in told[0]


def test_the_command_line_decides_and_checks(folder):
    run = CliRunner().invoke
    assert "partner-model" in run(app, ["rights", "list", "--of", str(folder)], env={"COLUMNS": "160"}).stdout
    assert "Letter of 2 November" in run(app, ["rights", "show", "partner-model", "--of", str(folder)]).stdout
    said = run(app, ["rights", "check", str(folder)])
    assert (
        said.exit_code == 0 and "students/static, pass" in said.stdout and "transfer set, pass" in said.stdout
    )
    decided = ["rights", "decide", str(folder), "--entry", "partner-model", "--deny", "--name", "Ada Counsel"]
    said = run(app, [*decided, "--reason", "The partner has withdrawn", "--until", "2030-01-01"])
    assert said.exit_code == 0 and "is denied until 2030-01-01" in said.stdout
    said = run(app, ["rights", "check", str(folder)])
    assert said.exit_code == 3 and "The partner has withdrawn" in said.stdout
    said = run(app, [*decided, "--reason", "short"])
    assert isinstance(said.exception, UsageError) and "reason" in str(said.exception)


def test_an_ensembles_answers_stand_under_the_rights_of_all_who_gave_them(tmp_path):
    people = {"type": "human", "verdicts": {"path": "verdicts.csv"}}
    folder = inbox_programme(
        tmp_path,
        teacher={"type": "ensemble", "members": [{"teacher": {"type": "encoder"}}, {"teacher": people}]},
    )
    with (folder / "gold.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    with (folder / "traffic.csv").open(newline="") as file:
        rows += [[text, "billing"] for [text] in list(csv.reader(file))[1:]]
    with (folder / "verdicts.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    programme = opened(folder)
    for stage in ("gold", "collect", "coverage", "label"):
        run_stage(programme, stage)
    [text] = set(storage.read_table(programme.transfer)["basis"].to_pylist())
    entries = [basis.entry for basis in read_basis(text)]
    assert entries == ["all-minilm-l6-v2", "own-people"] and basis_text(read_basis(text)) == text
