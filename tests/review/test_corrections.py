"""Corrections and the file of answers to look at."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import SourceConfig
from tutelage.records import Answer, AnswerStatus, Prompt
from tutelage.review import most_doubtful, read_corrections, write_review
from tutelage.tasks import Classify

TASK = Classify(("card", "refund"))
PROMPTS = [Prompt(f"p{n}", text) for n, text in enumerate(["my card", "=1+1", "money back", "hm"])]


def corrections(path, text, prompts=PROMPTS):
    path.write_text(text, encoding="utf-8")
    return read_corrections(SourceConfig(path=str(path)), path, TASK, prompts)


def test_corrections_by_text_and_id_and_bad_rows_seen(tmp_path):
    found, rejected = corrections(
        tmp_path / "c.csv",
        "id,text,label\n,my card,refund\np2,,card\np3,hm,\n,never seen,card\np1,=1+1,crad\n",
    )
    assert found == {PROMPTS[0].hash: "refund", PROMPTS[2].hash: "card"}
    assert [(item.row, str(item.reason)) for item in rejected] == [
        (4, "unknown_prompt"),
        (5, "label_out_of_set"),
    ]


def test_a_file_that_contradicts_itself_corrects_nothing(tmp_path):
    found, rejected = corrections(tmp_path / "c.csv", "text,label\nhm,card\nhm,refund\nmy card,card\n")
    assert found == {PROMPTS[0].hash: "card"}
    assert [(item.row, item.reason) for item in rejected] == [(1, "contradiction"), (2, "contradiction")]
    assert "rows 1, 2" in rejected[0].detail


def test_an_id_that_two_prompts_have_names_neither(tmp_path):
    found, rejected = corrections(
        tmp_path / "c.csv", "id,label\nx,card\n", [Prompt("x", "a"), Prompt("x", "b")]
    )
    assert found == {} and len(rejected) == 1


def answer(share: float, **changes) -> Answer:
    row = np.array([share, 1 - share], dtype=np.float32)
    return Answer(AnswerStatus.OK, "card" if share >= 0.5 else "refund", row, **changes)


def test_the_most_doubtful_come_first_and_the_sure_not_at_all():
    pairs = [
        (PROMPTS[0], answer(0.99)),
        (PROMPTS[1], answer(0.6)),
        (PROMPTS[2], Answer(AnswerStatus.UNPARSEABLE, None, reason="prose")),
        (PROMPTS[3], answer(0.9, repeatability=0.4)),
    ]
    doubts = most_doubtful(pairs, multi_label=False, most=10)
    assert [doubt.prompt.id for doubt in doubts] == ["p2", "p1", "p3"]
    assert [doubt.why for doubt in doubts] == [
        "unparseable: prose",
        "margin of 0.20",
        "40% of pairs of answers agree",
    ]
    assert [doubt.prompt.id for doubt in most_doubtful(pairs, multi_label=False, most=1)] == ["p2"]
    [several] = most_doubtful([(PROMPTS[0], answer(0.6))], multi_label=True, most=9)
    assert several.urgency == pytest.approx(0.8)


def test_what_is_filled_in_stays_and_is_read_as_corrections(tmp_path):
    path = tmp_path / "answers" / "review.csv"
    doubts = most_doubtful([(prompt, answer(0.6)) for prompt in PROMPTS], multi_label=False, most=9)
    assert write_review(path, doubts) == 4
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "text", "teacher", "confidence", "why", "label", "hash"]
    assert rows[1]["text"] == "'=1+1" and rows[0]["confidence"] == "0.600"
    rows[1]["label"] = "refund"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert write_review(path, doubts[:3]) == 2
    with path.open(newline="") as file:
        assert [(row["id"], row["label"]) for row in csv.DictReader(file)] == [
            ("p1", "refund"),
            ("p0", ""),
            ("p2", ""),
        ]
    found, rejected = read_corrections(SourceConfig(path=str(path)), path, TASK, PROMPTS)
    assert (found, rejected) == ({PROMPTS[1].hash: "refund"}, [])


@given(st.text(max_size=40))
def test_no_cell_is_taken_for_what_it_is_not(tmp_path_factory, cell):
    path = tmp_path_factory.mktemp("c") / "c.jsonl"
    import json

    path.write_text(json.dumps({"text": "hm", "label": cell}) + "\n", encoding="utf-8")
    found, rejected = read_corrections(SourceConfig(path=str(path)), path, TASK, PROMPTS)
    if cell.strip() in TASK.labels:
        assert found == {PROMPTS[3].hash: cell.strip()}
    else:
        assert found == {} and len(rejected) == (1 if cell.strip() else 0)
