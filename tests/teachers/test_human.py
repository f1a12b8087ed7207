"""People as a teacher, over the files they fill in."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tutelage.config import HumanTeacherConfig, LabellingConfig
from tutelage.errors import AwaitingPeople, ConfigError, DataError
from tutelage.labelling import AnswerLedger, LedgerKey, label
from tutelage.records import DistributionOrigin, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import Selective, Teacher, TeacherContext
from tutelage.teachers.human import HumanTeacher

TASK = Classify(("card", "refund"))
PROMPTS = [Prompt(f"p{n}", text) for n, text in enumerate(["my card", "=1+1", "money back, please", "hm"])]


def people(folder: Path, verdicts: str | None = None, task=TASK, **settings) -> HumanTeacher:
    if verdicts is not None:
        (folder / "verdicts.csv").write_text(verdicts)
        settings["source"] = {"path": "verdicts.csv"}
    if "source" in settings:
        settings["verdicts"] = settings.pop("source")
    return HumanTeacher(HumanTeacherConfig(**settings), TeacherContext(task, (), folder))


def put(folder: Path, teacher: HumanTeacher, prompts=PROMPTS, task=TASK):
    """Answers by id after one asking, and what the asking said of those that wait."""
    said = ""
    with AnswerLedger(folder / "answers.sqlite") as ledger:
        try:
            label(prompts, teacher, task, ledger, LabellingConfig())
        except AwaitingPeople as error:
            said = str(error)
        found = ledger.get_many(LedgerKey.of(teacher, task), [prompt.hash for prompt in prompts])
    return {prompt.id: found[prompt.hash] for prompt in prompts if prompt.hash in found}, said


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "answers" / "queue.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def fill(folder: Path, labels: dict[str, str]) -> None:
    path = folder / "answers" / "queue.csv"
    there = rows(folder)
    for row in there:
        row["label"] = labels.get(row["id"], row["label"])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(there[0]))
        writer.writeheader()
        writer.writerows(there)


def test_what_is_answered_is_recorded_and_the_rest_waits(tmp_path):
    teacher = people(tmp_path, "text,label\nmy card,card\n")
    assert isinstance(teacher, Teacher) and isinstance(teacher, Selective)
    answers, said = put(tmp_path, teacher)
    assert {id_: answer.value for id_, answer in answers.items()} == {"p0": "card"}
    assert "3 prompts wait for people" in said and "queue.csv" in said and "same command" in said
    assert AwaitingPeople.exit_code == 8
    assert [(row["id"], row["label"]) for row in rows(tmp_path)] == [("p1", ""), ("p2", ""), ("p3", "")]
    assert rows(tmp_path)[0]["text"] == "'=1+1"  # a spreadsheet would run it


def test_rows_that_were_filled_in_count_and_are_never_overwritten(tmp_path):
    put(tmp_path, people(tmp_path))
    fill(tmp_path, {"p1": "card", "p2": "refnd"})
    before = rows(tmp_path)
    answers, said = put(tmp_path, people(tmp_path), [*PROMPTS, Prompt("p4", "new")])
    assert {id_: answer.value for id_, answer in answers.items()} == {"p1": "card"}
    assert "row 3 of" in said and "'refnd' is not in the label set" in said
    assert rows(tmp_path)[:4] == before and [row["id"] for row in rows(tmp_path)[4:]] == ["p4"]
    fill(tmp_path, {"p0": "card", "p2": "refund", "p3": "card", "p4": "card"})
    answers, said = put(tmp_path, people(tmp_path), [*PROMPTS, Prompt("p4", "new")])
    assert len(answers) == 5 and said == ""


def test_several_people_vote_and_their_disagreement_shows(tmp_path):
    teacher = people(
        tmp_path,
        "text,label,reviewer,reasons\nmy card,refund,ann,a\nmy card,card,bob,b\nmy card,card,cid,\n"
        "hm,refund,ann,\nhm,card,ann,she thought again\n",
    )
    answers, _ = put(tmp_path, teacher)
    votes = answers["p0"]
    assert (votes.value, votes.origin) == ("card", DistributionOrigin.HUMAN)
    assert votes.distribution.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert votes.repeatability == pytest.approx(1 / 3)
    assert (votes.model, votes.rationale) == ("ann, bob, cid", "b")
    assert (answers["p3"].value, answers["p3"].distribution) == ("card", None)


def test_a_verdict_may_name_its_prompt_by_id(tmp_path):
    answers, _ = put(tmp_path, people(tmp_path, "id,label\np2,refund\n,card\n"))
    assert {id_: answer.value for id_, answer in answers.items()} == {"p2": "refund"}
    assert [item.row for item in people(tmp_path, "id,label\np2,refund\n,card\n").rejected] == [2]


@pytest.mark.parametrize("cell", ["", "crad", "card|refund"])
def test_a_cell_that_holds_no_label_is_named_and_not_coerced(tmp_path, cell):
    teacher = people(tmp_path, f"text,label\nmy card,{cell}\n")
    [bad] = teacher.rejected
    assert bad.row == 1 and bad.detail
    answers, said = put(tmp_path, teacher)
    assert answers == {} and "row 1 of" in said


def test_a_new_verdict_is_a_new_revision_and_an_order_of_rows_is_none(tmp_path):
    one = people(tmp_path, "text,label\nmy card,card\nhm,refund\n").revision
    assert people(tmp_path, "text,label\nhm,refund\nmy card,card\n").revision == one
    assert people(tmp_path, "text,label\nhm,card\nmy card,card\n").revision != one


def test_several_labels_none_included(tmp_path):
    task = Classify(("card", "refund"), multi_label=True)
    put(tmp_path, people(tmp_path, task=task), task=task)
    fill(tmp_path, {"p0": "card|refund", "p1": "|"})
    answers, _ = put(tmp_path, people(tmp_path, task=task), task=task)
    assert {id_: answer.value for id_, answer in answers.items()} == {"p0": ("card", "refund"), "p1": ()}


def test_a_queue_of_lines_of_json(tmp_path):
    path = tmp_path / "answers" / "people.jsonl"
    put(tmp_path, people(tmp_path, queue="answers/people.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["text"] for line in lines] == [prompt.text for prompt in PROMPTS]
    lines[1]["label"] = "refund"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answers, _ = put(tmp_path, people(tmp_path, queue="answers/people.jsonl"))
    assert {id_: answer.value for id_, answer in answers.items()} == {"p1": "refund"}


def test_a_queue_that_cannot_be_read_is_not_written_over(tmp_path):
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "queue.csv").write_text("id,text,label\np0,my card,card,too many\n")
    with pytest.raises(DataError, match="row 1"):
        put(tmp_path, people(tmp_path))
    assert "too many" in (tmp_path / "answers" / "queue.csv").read_text()


def test_verdicts_in_parquet_with_the_columns_that_are_there(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"text": ["my card", "hm"], "label": ["card", "refund"], "reviewer": ["ann", "bob"]})
    pq.write_table(table, tmp_path / "v.parquet")
    answers, _ = put(tmp_path, people(tmp_path, source={"path": "v.parquet"}))
    assert {id_: answer.model for id_, answer in answers.items()} == {"p0": "ann", "p3": "bob"}


def test_verdicts_lie_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("VERDICTS", "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "v.csv").write_text("text,label\nmy card,card\n")
    answers, _ = put(tmp_path, people(tmp_path, source={"path": "${VERDICTS}/v.csv"}))
    assert {name: answer.value for name, answer in answers.items()} == {"p0": "card"}
    monkeypatch.delenv("VERDICTS")
    with pytest.raises(ConfigError, match="'VERDICTS' is not set. Mend: export VERDICTS"):
        people(tmp_path, source={"path": "${VERDICTS}/v.csv"})
