"""What people said in another tool, from its export to sealed gold."""

from __future__ import annotations

import csv
import json

import pytest
from inbox import inbox_programme

from tutelage.data import read_sealed
from tutelage.errors import DataError, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.review import AnnotationStore
from tutelage.stages import run_stage
from tutelage.stages.annotate import (
    annotation_results,
    annotations_to_gold,
    export_tasks,
    open_project,
)
from tutelage.stages.annotate_import import import_annotations
from tutelage.stages.gold import read_to_label
from tutelage.stages.gold_plan import plan_gold

GOLD = {"path": "gold.csv", "training": {"share": 0.4}, "margin": 0.08}


@pytest.fixture
def programme(tmp_path):
    made = Programme.open(inbox_programme(tmp_path, gold=GOLD))
    plan_gold(made, Silent())
    return made


def tasks(programme, wrong=0, misspelt=0):
    """A Label Studio export: two people answered all that was drawn, and differ on the first `wrong`."""
    made = []
    for number, prompt in enumerate(read_to_label(programme)):
        said = ["billing", "login" if number < wrong else "billing"]
        if number < misspelt:
            said[1] = "bilking"
        annotations = [
            {
                "completed_by": {"email": f"{who}@example.com"},
                "result": [{"from_name": "topic", "type": "choices", "value": {"choices": [label]}}],
                "created_at": f"2026-03-01T10:{number:02d}:00Z",
            }
            for who, label in zip(("ada", "bob"), said, strict=True)
        ]
        predictions = [
            {"result": [{"from_name": "topic", "type": "choices", "value": {"choices": ["delivery"]}}]}
        ]
        made.append({"data": {"text": prompt.text}, "annotations": annotations, "predictions": predictions})
    return made


def exported(programme, content):
    path = programme.folder / "export.json"
    path.write_text(json.dumps(content))
    return path


def test_votes_of_two_people_become_gold_once_what_they_differ_on_is_settled(programme):
    run_stage(programme, "gold", Silent())
    before = len(read_sealed(programme.sealed, programme.seal))
    count = len(read_to_label(programme))
    found = import_annotations(programme, Silent(), exported(programme, tasks(programme, wrong=2)))
    assert (found.taken, found.annotators, found.prompts) == (2 * count, 2, count)
    assert found.left_out == {"suggestions of models": count} and not found.unmatched
    results = annotation_results(programme, Silent())
    assert results["prompts"] == {"all": count, "open": 0, "disputed": 2, "settled": count - 2}
    assert results["agreement"]["alike"]["estimate"] == pytest.approx(1 - 2 / count)
    project = open_project(programme, Silent())
    while (asked := project.next("Cem")) is not None:
        assert asked.settles and set(asked.answers) == {"billing", "login"}
        project.answer("Cem", asked.prompt.hash, "billing", "", settles=True)
    path = annotations_to_gold(programme, Silent())
    assert {json.loads(line)["label"] for line in path.read_text().splitlines()} == {"billing"}
    for file in (path, programme.folder / "ledger.jsonl"):
        assert "example.com" not in file.read_text(), "names stay where people's answers are"
    run_stage(programme, "gold", Silent())
    assert len(read_sealed(programme.sealed, programme.seal)) > before


def test_what_was_taken_isnt_taken_twice_and_a_later_export_wins(programme):
    content = tasks(programme, wrong=2)
    path = exported(programme, content)
    first = import_annotations(programme, Silent(), path)
    again = import_annotations(programme, Silent(), path)
    assert (again.taken, again.known) == (0, first.taken)
    content[0]["annotations"][1]["result"][0]["value"]["choices"] = ["billing"]
    mended = import_annotations(programme, Silent(), exported(programme, content))
    assert (mended.taken, mended.replaced, mended.known) == (1, 1, first.taken - 1)
    assert annotation_results(programme, Silent())["prompts"]["disputed"] == 1


def test_of_what_one_person_said_twice_in_a_file_the_later_counts(programme):
    content = tasks(programme)
    later = json.loads(json.dumps(content[0]["annotations"][0]))
    later["created_at"] = "2026-04-01T00:00:00Z"
    later["result"][0]["value"]["choices"] = ["login"]
    content[0]["annotations"].insert(0, later)
    found = import_annotations(programme, Silent(), exported(programme, content))
    assert found.twice == 1
    hash_ = read_to_label(programme)[0].hash
    store = AnnotationStore(programme.annotations)
    said = {item.annotator: item.value for item in store.standing() if item.prompt == hash_}
    store.close()
    assert said == {"ada@example.com": "login", "bob@example.com": "billing"}


def test_an_unknown_label_is_told_with_its_row_and_the_nearest_and_nothing_is_taken(programme):
    path = exported(programme, tasks(programme, misspelt=7))
    with pytest.raises(DataError) as raised:
        import_annotations(programme, Silent(), path)
    told = str(raised.value)
    assert "row 1: bob@example.com: 'bilking' is not in the label set; nearest is 'billing'" in told
    assert "and 2 more" in told and "Nothing was taken" in told
    store = AnnotationStore(programme.annotations)
    assert not store.standing()
    store.close()


def test_answers_to_what_wasnt_drawn_are_named_or_their_prompts_added(programme):
    content = tasks(programme)
    content.append({**content[0], "data": {"text": "a question nobody drew", "slice": "hard"}})
    path = exported(programme, content)
    found = import_annotations(programme, Silent(), path)
    assert found.unmatched == [(len(content), "a question nobody drew")] * 2
    count = len(read_to_label(programme))
    added = import_annotations(programme, Silent(), path, add_prompts=True)
    assert (added.added, added.taken, added.unmatched) == (1, 2, [])
    drawn = read_to_label(programme)
    assert len(drawn) == count + 1
    assert (drawn[-1].text, drawn[-1].slice, drawn[-1].source) == (
        "a question nobody drew",
        "hard",
        "export.json",
    )


def test_gold_may_begin_with_another_tools_export(tmp_path):
    gold = {"path": "gold/annotated.jsonl", "margin": 0.2, "training": {"share": 0.4}}
    programme = Programme.open(inbox_programme(tmp_path, gold=gold))
    with (tmp_path / "gold.csv").open(newline="") as file:
        rows = [(row["text"], row["label"], row["label"]) for row in csv.DictReader(file)]
    with (tmp_path / "votes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "Ada", "Bob"), *rows])
    with pytest.raises(UsageError, match="--add-prompts"):
        import_annotations(programme, Silent(), tmp_path / "votes.csv")
    found = import_annotations(programme, Silent(), tmp_path / "votes.csv", add_prompts=True)
    assert (found.tool, found.taken, found.added) == ("csv", 2 * len(rows), len(rows))
    annotations_to_gold(programme, Silent())
    run_stage(programme, "gold", Silent())
    assert len(read_sealed(programme.sealed, programme.seal)) == pytest.approx(0.6 * len(rows), abs=1)


def test_texts_are_found_as_they_were_before_redaction(tmp_path):
    made = inbox_programme(tmp_path, gold=GOLD, privacy={"email": "mask"})
    with (made / "traffic.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["write to ada@example.com about it"])
    programme = Programme.open(made, ["gold.margin=0.01"])
    plan_gold(programme, Silent())
    assert "write to [EMAIL] about it" in {prompt.text for prompt in read_to_label(programme)}
    (tmp_path / "votes.csv").write_text("text,annotator,label\nwrite to ada@example.com about it,Ada,login\n")
    found = import_annotations(programme, Silent(), tmp_path / "votes.csv")
    assert (found.taken, found.unmatched) == (1, [])


def test_what_waits_is_written_for_another_tool_and_what_comes_back_is_taken(programme):
    waiting = read_to_label(programme)
    project = open_project(programme, Silent())
    for name in ("Ada", "Bob"):
        project.answer(name, waiting[0].hash, "login", "", settles=False)
    path = programme.folder / "tasks.csv"
    assert export_tasks(programme, Silent(), path, None) == [path]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["hash"] for row in rows] == [prompt.hash for prompt in waiting[1:]], "one is settled"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"annotator": "Cem", "label": "login", "text": "mangled"} for row in rows)
    found = import_annotations(programme, Silent(), path)
    assert (found.taken, found.unmatched) == (len(rows), [])
