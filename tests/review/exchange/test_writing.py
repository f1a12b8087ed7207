"""Tasks for other tools, and what comes back of them."""

from __future__ import annotations

import csv
import json
from xml.etree import ElementTree

import pytest

from tutelage.config import ColumnsConfig
from tutelage.errors import UsageError
from tutelage.records import Prompt
from tutelage.review.exchange import answer_value, labelling_interface, read_export, write_tasks
from tutelage.tasks import Classify, Extract, Generate, Judge

PROMPTS = [Prompt("1", "=cmd, where is my card", slice="hard"), Prompt("2", "two\nlines & <b>marks</b>")]
TASK = Classify(("a & b", "c"), descriptions={"c": 'said "so"'})


def test_label_studios_tasks_come_back_by_hash(tmp_path):
    path = tmp_path / "tasks.json"
    assert write_tasks(path, None, PROMPTS, TASK, "Say what.") == [path, tmp_path / "tasks.xml"]
    tasks = json.loads(path.read_text())
    assert tasks[0]["data"]["text"] == PROMPTS[0].text and set(tasks[0]) == {"data"}, "no predictions"
    view = ElementTree.fromstring((tmp_path / "tasks.xml").read_text())
    (choices,) = view.iter("Choices")
    for task in tasks:  # as Label Studio answers with that interface
        value = {"choices": [choices[0].get("value")]}
        task["data"]["text"] = task["data"]["text"].strip("=")
        task["annotations"] = [
            {
                "completed_by": 1,
                "result": [{"from_name": choices.get("name"), "type": "choices", "value": value}],
            }
        ]
    (tmp_path / "done.json").write_text(json.dumps(tasks))
    export = read_export(tmp_path / "done.json", ColumnsConfig())
    assert [item.about.hash for item in export.said] == [prompt.hash for prompt in PROMPTS]
    assert {answer_value(TASK, item.answers, ["label"], "|", joined=False) for item in export.said} == {
        "a & b"
    }


def test_a_table_is_filled_in_by_people_and_runs_nothing(tmp_path):
    path = tmp_path / "tasks.csv"
    write_tasks(path, None, PROMPTS, TASK, "")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["text"].startswith("'="), "no formula for a spreadsheet"
    for row in rows:
        row |= {"annotator": "Ada", "label": "c"}
    with (tmp_path / "done.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    export = read_export(tmp_path / "done.csv", ColumnsConfig())
    assert [(item.about.hash, item.annotator) for item in export.said] == [(p.hash, "Ada") for p in PROMPTS]


def test_argillas_records_have_the_hash_as_their_id(tmp_path):
    write_tasks(tmp_path / "tasks.json", "argilla", PROMPTS, TASK, "")
    records = json.loads((tmp_path / "tasks.json").read_text())
    assert [record["id"] for record in records] == [prompt.hash for prompt in PROMPTS]
    assert records[1]["fields"] == {"text": PROMPTS[1].text} and records[1]["suggestions"] == {}


def test_each_task_has_its_interface():
    record = {
        "type": "object",
        "properties": {"who": {"type": "string"}, "kind": {"enum": ["x", "y"]}, "items": {"type": "array"}},
        "required": ["who"],
    }
    found = {
        "several": labelling_interface(Classify(tuple(map(str, range(30))), multi_label=True), ""),
        "score": labelling_interface(Judge(("1", "2"), "rubric", scored=True), "Judge."),
        "text": labelling_interface(Generate(), ""),
        "record": labelling_interface(Extract(record), ""),
    }
    views = {name: ElementTree.fromstring(text) for name, text in found.items()}
    (choices,) = views["several"].iter("Choices")
    assert (choices.get("choice"), choices.get("layout"), len(choices)) == ("multiple", "select", 30)
    assert [choice.get("value") for choice in views["score"].iter("Choice")] == ["1", "2"]
    assert next(views["text"].iter("TextArea")).get("maxSubmissions") == "1"
    names = [part.get("name") for part in views["record"] if part.get("toName") == "prompt"]
    assert names == ["who", "kind", "items"]


def test_a_file_that_may_hold_answers_is_left_alone(tmp_path):
    (tmp_path / "tasks.csv").write_text("mine")
    with pytest.raises(UsageError, match="may hold answers"):
        write_tasks(tmp_path / "tasks.csv", None, PROMPTS, TASK, "")
    assert (tmp_path / "tasks.csv").read_text() == "mine"
