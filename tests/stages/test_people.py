"""`label` where people answer, and where they correct what a teacher said."""

from __future__ import annotations

import csv
import json

import pytest
from inbox import WORDS, questions

from tutelage import storage
from tutelage.errors import AwaitingPeople
from tutelage.programme import Programme
from tutelage.stages import run_stage

TEXTS = questions(WORDS[:7])
HUMAN = {text: ("refund", "card")[n % 2] for n, text in enumerate(TEXTS)}


def _programme(folder, teacher, **changes):
    rows = "".join(f"{text},{HUMAN[text]}\n" for text in TEXTS[:10])
    (folder / "gold.csv").write_text("text,label\n" + rows)
    (folder / "traffic.csv").write_text("text\n" + "\n".join(TEXTS[10:]) + "\n")
    content = {
        "gold": {"path": "gold.csv", "margin": 0.4},
        "traffic": {"path": "traffic.csv"},
        "teacher": teacher,
        **changes,
    }
    (folder / "tutelage.yaml").write_text(json.dumps(content))
    programme = Programme.open(folder)
    for name in ("gold", "collect"):
        run_stage(programme, name)
    return programme


def _answer_in(path):
    """Fill the queue's label column in; the texts that stood there."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = HUMAN[row["text"]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return [row["text"] for row in rows]


def test_what_waits_for_people_is_gold_and_traffic_together_and_goes_on_once_they_have_answered(tmp_path):
    programme = _programme(tmp_path, {"type": "human"})
    with pytest.raises(AwaitingPeople, match=rf"{len(TEXTS)} prompts wait for people in .*queue\.csv"):
        run_stage(programme, "label")
    assert set(_answer_in(tmp_path / "answers" / "queue.csv")) == set(TEXTS)
    run_stage(programme, "label")
    table = storage.read_table(programme.transfer).to_pylist()
    assert {row["text"]: json.loads(row["value"]) for row in table} == {t: HUMAN[t] for t in TEXTS[10:]}
    assert {row["origin"] for row in table} == {"human"}
    assert not run_stage(programme, "label")  # nothing has changed


def test_a_correction_wins_and_what_the_teacher_said_stands_beside_it(tmp_path, faulty_teacher):
    teacher = {"type": "openai", "rights": "own-model", "model": "m", "base_url": faulty_teacher.url}
    faulty_teacher.answers.update({text: json.dumps({"label": HUMAN[text]}) for text in TEXTS})
    text, sealed = TEXTS[12], TEXTS[0]
    other = {"refund": "card", "card": "refund"}
    (tmp_path / "verdicts.csv").write_text(
        f"text,label\n{text},{other[HUMAN[text]]}\n{sealed},{other[HUMAN[sealed]]}\n"
    )
    programme = _programme(
        tmp_path, {**teacher, "samples": 1}, labelling={"corrections": {"path": "verdicts.csv"}}
    )
    run_stage(programme, "label")
    rows = {row["text"]: row for row in storage.read_table(programme.transfer).to_pylist()}
    corrected = rows.pop(text)
    assert (json.loads(corrected["value"]), corrected["origin"]) == (other[HUMAN[text]], "human")
    assert json.loads(corrected["teacher_value"]) == HUMAN[text]
    assert all(row["teacher_value"] is None for row in rows.values())
    gold = {row["text"]: row for row in storage.read_table(programme.gold_answers).to_pylist()}
    assert json.loads(gold[sealed]["value"]) == HUMAN[sealed]  # nobody corrects the teacher on sealed gold
    (tmp_path / "verdicts.csv").write_text(f"text,label\n{text},{HUMAN[text]}\n")
    assert run_stage(programme, "label")
    assert {row["teacher_value"] for row in storage.read_table(programme.transfer).to_pylist()} == {None}


def test_people_of_an_ensemble_get_gold_and_traffic_at_once_and_nobody_is_paid_before_the_gate(
    tmp_path, faulty_teacher
):
    faulty_teacher.answers.update({text: json.dumps({"label": HUMAN[text]}) for text in TEXTS})
    endpoint = {"type": "openai", "rights": "own-model", "model": "m", "base_url": faulty_teacher.url}
    members = [{"teacher": {**endpoint, "samples": 1}}, {"teacher": {"type": "human"}}]
    programme = _programme(
        tmp_path,
        {"type": "ensemble", "strategy": "majority", "members": members},
        labelling={"min_teacher_accuracy": 0.5},
    )
    with pytest.raises(AwaitingPeople, match=rf"{len(TEXTS)} prompts wait for people"):
        run_stage(programme, "label")
    assert set(faulty_teacher.served) == set(TEXTS[:10])  # gold alone
    queued = _answer_in(tmp_path / "answers" / "queue.csv")
    assert set(queued[:10]) == set(TEXTS[:10]) and sorted(queued) == sorted(TEXTS)
    run_stage(programme, "label")
    assert faulty_teacher.served == dict.fromkeys(TEXTS, 1)
    assert storage.read_table(programme.transfer).num_rows == len(TEXTS) - 10
