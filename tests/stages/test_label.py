"""`label` over a scripted endpoint on loopback: what is asked first, and what is said of money."""

from __future__ import annotations

import json

from tutelage import storage
from tutelage.programme import Programme
from tutelage.stages import run_stage

LABELS = ("refund", "card")
WORDS = "parcel invoice password refund courier charge account payment tracking price".split()
TEXTS = [f"{one} and {other}: what now" for one in WORDS for other in WORDS if one < other]


def test_gold_is_asked_before_traffic_so_that_a_spent_budget_leaves_an_evaluation(tmp_path, faulty_teacher):
    gold, traffic = TEXTS[:20], TEXTS[20:]
    rows = "".join(f"{text},{LABELS[n % 2]}\n" for n, text in enumerate(gold))
    (tmp_path / "gold.csv").write_text("text,label\n" + rows)
    (tmp_path / "traffic.csv").write_text("text\n" + "\n".join(traffic) + "\n")
    content = {
        "gold": {"path": "gold.csv", "margin": 0.3},
        "traffic": {"path": "traffic.csv"},
        "teacher": {
            "type": "openai",
            "rights": "own-model",
            "model": "scripted-1",
            "base_url": faulty_teacher.url,
            "samples": 1,
        },
        "labelling": {"concurrency": 1},
    }
    (tmp_path / "tutelage.yaml").write_text(json.dumps(content))
    programme = Programme.open(tmp_path)
    for name in ("gold", "collect", "label"):
        run_stage(programme, name)
    asked = list(faulty_teacher.served)
    sealed = storage.read_table(programme.sealed).column("text").to_pylist()
    assert asked[: len(sealed)] == sealed
    assert set(asked[len(sealed) :]) == set(storage.read_table(programme.prompts).column("text").to_pylist())
    labelled = [entry.data for entry in programme.journal.entries() if entry.event == "labelled"]
    assert [(entry["spent"], entry["total"]) for entry in labelled] == [(0.0, 0.0)] * 2  # gold, the rest
