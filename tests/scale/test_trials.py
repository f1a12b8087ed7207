"""`curve` and `compare` by workers of a cluster: the same scores, row for row."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("ray", reason="engine: ray needs tutelage[scale]")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from inbox import letter_counting_inbox

from tiny_world import save_checkpoint
from tutelage import storage
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_comparison, run_stage
from tutelage.stages.curve import run_curve


class Told(Silent):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


@pytest.mark.long
def test_curve_and_compare_find_the_same_there(tmp_path, nodes, monkeypatch, one_torch_thread):
    """An encoder with dropout too; a sharded one, whose step two workers share, only where nothing is drawn."""
    for name, dropout in (("tiny", 0.1), ("sure", 0.0)):
        save_checkpoint(tmp_path / name, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    encoder = {"family": "encoder", "layers": 1, "epochs": 2, "batch_size": 16}
    candidates = {
        "table": {"family": "static", "members": 1, "epochs": 5},
        "tiny": {**encoder, "base": str(tmp_path / "tiny")},
        "sharded": {**encoder, "base": str(tmp_path / "sure"), "shard": True},
    }
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir()
    letter_counting_inbox(
        near,
        student=candidates["table"],
        comparison={"candidates": candidates, "seeds": [0, 1], "selection": 0.4},
    )
    for stage in ("gold", "collect", "coverage", "label"):
        run_stage(Programme.open(near), stage)
    shutil.copytree(near, far)
    monkeypatch.setattr("tutelage.stages.curve._LEAST", 1)
    monkeypatch.setattr("tutelage.stages.curve._SHARES", (0.4, 0.6, 0.8, 1.0))
    curves, scores = [], []
    for folder, engine in ((near, "local"), (far, {"type": "ray", "address": nodes.address})):
        programme, told = Programme.open(folder, [f"engine={json.dumps(engine)}"]), Told()
        curves.append(run_curve(programme, told, more=50, worth=0.005, configured=True).to_json())
        found = run_comparison(programme, told)
        assert all(standing.footprint.latency_p50_ms for standing in found.standings)
        kept = (folder / "students" / ".comparison").glob("*/*")
        scores.append({f"{path.parent.name}/{path.name}": storage.read_json(path)["scores"] for path in kept})
        assert any("2 workers on 2 nodes" in line for line in told.lines) == (engine != "local")
        run_comparison(programme, again := Told())
        assert not any("mean score" in line for line in again.lines)
    assert curves[0] == curves[1]
    assert len(scores[0]) == 6 and scores[0] == scores[1]
