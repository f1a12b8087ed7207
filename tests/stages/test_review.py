"""An ensemble of plugins labels, a person corrects, and sealed gold stays as it was."""

from __future__ import annotations

import csv
import json

import pytest
from inbox import questions
from typer.testing import CliRunner

from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import AwaitingPeople, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import make_review, run_stage

TEXTS = questions()


def programme(tmp_path, teacher) -> Programme:
    rows = "".join(f"{text},{('refund', 'card')[n % 2]}\n" for n, text in enumerate(TEXTS[:20]))
    (tmp_path / "gold.csv").write_text("text,label\n" + rows)
    (tmp_path / "traffic.csv").write_text("text\n" + "\n".join(TEXTS[20:]) + "\n")
    for name, label in (("one", "refund"), ("two", "card")):
        said = "".join(f"{text},{label if n % 5 == 0 else 'card'}\n" for n, text in enumerate(TEXTS))
        (tmp_path / f"{name}.csv").write_text("text,label\n" + said)
    content = {
        "gold": {"path": "gold.csv", "margin": 0.3},
        "traffic": {"path": "traffic.csv"},
        "teacher": teacher,
    }
    (tmp_path / "tutelage.yaml").write_text(json.dumps(content))
    return Programme.open(tmp_path)


def human(name, **settings):
    return {
        "type": "human",
        "verdicts": {"path": f"{name}.csv"},
        "queue": f"answers/{name}-queue.csv",
        **settings,
    }


def fill(path, labels):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, label in zip(rows, labels, strict=False):
        row["label"] = label
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_a_committee_with_people_as_judge_and_corrections_of_its_answers(tmp_path):
    teacher = {
        "type": "ensemble",
        "strategy": "committee",
        "members": [{"teacher": human("one")}, {"teacher": human("two")}],
        "judge": {"type": "human", "queue": "answers/disputes.csv"},
    }
    one = programme(tmp_path, teacher)
    with pytest.raises(UsageError, match="tutelage label"):
        make_review(one, 5, Silent())
    for name in ("check", "gold", "collect"):
        run_stage(one, name)
    queue = tmp_path / "answers" / "disputes.csv"
    while True:
        try:
            run_stage(one, "label")
            break
        except AwaitingPeople as error:
            assert "disputes.csv" in str(error)
            assert fill(queue, ["refund"] * 99)
    record = storage.read_json(one.teacher_record)["panel"]
    assert record["asked"] > 0 and record["sided_with"]["2 human"] == 0
    before = storage.read_table(one.transfer).to_pylist()
    gold_before = one.gold_answers.read_bytes()

    result = CliRunner().invoke(app, ["review", str(tmp_path), "--most", "3"])
    assert result.exit_code == 0 and "review.csv" in result.output
    review = tmp_path / "answers" / "review.csv"
    assert not run_stage(one, "label")  # nothing is filled in
    rows = fill(review, ["card", "", ""])
    assert len(rows) == 3
    sealed = storage.read_table(one.sealed).to_pylist()
    with review.open("a", newline="") as file:
        csv.writer(file).writerow(
            [sealed[0]["id"], sealed[0]["text"], "", "", "", "refund", sealed[0]["hash"]]
        )
    assert run_stage(one, "label")
    after = storage.read_table(one.transfer).to_pylist()
    changed = [row for row, old in zip(after, before, strict=True) if row != old]
    assert [(row["hash"], row["value"], row["teacher_value"], row["origin"]) for row in changed] == [
        (rows[0]["hash"], '"card"', '"refund"', "human")
    ]
    assert one.gold_answers.read_bytes() == gold_before
    assert rows[0]["hash"] not in {row["hash"] for row in _shown_again(one)}


def _shown_again(one):
    with make_review(one, 50, Silent()).open(newline="") as file:
        return [row for row in csv.DictReader(file) if not row["label"]]
