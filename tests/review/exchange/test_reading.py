"""Exports of other tools, as these tools write them."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutelage.config import ColumnsConfig
from tutelage.errors import DataError, TutelageError, UsageError
from tutelage.review.exchange import LeftOut, Span, Unread, read_export

FILES = Path(__file__).parent / "files"
MONEY, CARD = "where is my money", "my card is blocked"
USER = "argilla 6d3b8f3e-3f0e-4d8e-9d35-6a1f9b0a000"


def read(name, **settings):
    return read_export(FILES / name, ColumnsConfig(), **settings)


def answers(export, question="topic"):
    return [(item.text, item.annotator, list(item.answers.get(question, ()))) for item in export.said]


def test_label_studios_tasks_give_each_persons_answer_and_no_models():
    export = read("label_studio.json")
    assert export.tool == "label-studio" and export.rows == 3
    assert answers(export) == [
        (MONEY, "ada@example.com", ["refund"]),
        (MONEY, "label-studio 5", ["card"]),
        (CARD, "label-studio 5", ["card"]),
    ]
    assert export.said[0].answers["note"] == ["angry customer"]
    assert [item.suggested for item in export.said] == [False, False, True]
    assert [item.about.slice for item in export.said] == ["hard", "hard", ""]
    assert export.left_out == Counter(
        {LeftOut.SUGGESTION: 1, LeftOut.SKIPPED: 1, LeftOut.DRAFT: 1, LeftOut.EMPTY: 1}
    )


@pytest.mark.parametrize("name", ["label_studio_min.json", "label_studio.csv"])
def test_label_studios_rows_hold_what_its_tasks_do(name):
    export = read(name)
    assert export.tool == "label-studio"
    assert answers(export) == [
        (MONEY, "ada@example.com", ["refund"]),
        (MONEY, "label-studio 5", ["card", "refund"]),
        (CARD, "label-studio 5", []),
    ]
    assert export.said[2].answers["stars"] == [4]
    assert export.said[2].answers["span"] == [Span("product", "card")]
    assert {item.about.id for item in export.said} == {""}, (
        "its id is the task's number there, not the prompt's"
    )


def test_label_studios_other_controls(tmp_path):
    regions = [
        {"from_name": "stars", "type": "rating", "value": {"rating": 4}},
        {"from_name": "kind", "type": "taxonomy", "value": {"taxonomy": [["money", "refund"], ["card"]]}},
        {"from_name": "box", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["a"]}},
        {"from_name": "span", "type": "labels", "value": {"text": "my money", "labels": ["what", "whose"]}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
    ]
    task = {"data": {"question": MONEY}, "annotations": [{"completed_by": 1, "result": regions}]}
    (tmp_path / "one.json").write_text(json.dumps(task))
    (said,) = read_export(tmp_path / "one.json", ColumnsConfig()).said
    assert said.text == MONEY, "the only text there is"
    assert said.answers == {
        "stars": [4],
        "kind": ["refund", "card"],
        "box": [Unread("rectanglelabels")],
        "span": [Span("what", "my money"), Span("whose", "my money")],
    }


def test_argillas_records_give_each_users_answer_and_no_suggestion():
    export = read("argilla.json")
    assert export.tool == "argilla" and export.rows == 2
    assert answers(export) == [(MONEY, USER + "1", ["refund"]), (MONEY, USER + "2", ["card"])]
    assert [(item.about.id, item.about.slice, item.about.hash[-1]) for item in export.said] == [
        ("req-1", "hard", "1")
    ] * 2
    assert export.said[0].answers["note"] == ["angry customer"]
    assert export.left_out == Counter({LeftOut.SUGGESTION: 3, LeftOut.EMPTY: 1})
    assert export.unsure == 3, "nested records don't tell drafts"


def test_argillas_columns_tell_drafts_from_what_was_submitted(tmp_path):
    lines = [json.loads(line) for line in (FILES / "argilla_flat.jsonl").read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "flat.parquet")
    columns = {name: [line[name] for line in lines] for name in lines[0]}
    (tmp_path / "names.json").write_text(json.dumps(columns))
    for path in (FILES / "argilla_flat.jsonl", tmp_path / "flat.parquet", tmp_path / "names.json"):
        export = read_export(path, ColumnsConfig())
        assert export.tool == "argilla" and export.rows == 3, path
        assert answers(export) == [(MONEY, "argilla u-1", ["refund"]), (MONEY, "argilla u-2", ["card"])]
        assert export.unsure == 0
        assert export.left_out == Counter(
            {LeftOut.SUGGESTION: 2, LeftOut.DRAFT: 1, LeftOut.DISCARDED: 1, LeftOut.EMPTY: 1}
        )


def test_argillas_records_by_name_and_by_id(tmp_path):
    records = json.loads((FILES / "argilla.json").read_text())
    by_name = {name: [record[name] for record in records] for name in records[0]}
    by_id = {record["id"]: {name: records[0][name] for name in ("fields", "responses")} for record in records}
    for content, whose in ((by_name, ["req-1", "req-1"]), (by_id, ["req-1", "req-1", "req-2", "req-2"])):
        (tmp_path / "some.json").write_text(json.dumps(content))
        export = read_export(tmp_path / "some.json", ColumnsConfig())
        assert [item.about.id for item in export.said] == whose and export.tool == "argilla"


def test_what_argillas_server_sends():
    export = read("argilla_server.jsonl")
    assert answers(export) == [(MONEY, "argilla u-1", ["refund"])]
    assert export.said[0].answers["product"] == [Span("object", "money")]
    assert export.left_out == Counter({LeftOut.SUGGESTION: 1, LeftOut.DISCARDED: 1})


@pytest.mark.parametrize("name", ["long.csv", "wide.csv"])
def test_tables_of_either_form(name):
    export = read(name)
    assert export.tool == "csv"
    assert sorted(answers(export, "label")) == [
        (CARD, "Ada", ["card"]),
        (MONEY, "Ada", ["refund"]),
        (MONEY, "Bob", ["card"]),
    ]
    assert export.left_out == Counter({LeftOut.EMPTY: 1})
    assert {item.about.id for item in export.said} == {"req-1", "req-2"}


def test_of_a_wide_table_with_other_columns_people_are_named(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("text,day,Ada,Bob\nhello,monday,x,y\n")
    assert {item.annotator for item in read_export(path, ColumnsConfig()).said} == {"day", "Ada", "Bob"}
    export = read_export(path, ColumnsConfig(), people=["Ada", "Bob"])
    assert answers(export, "label") == [("hello", "Ada", ["x"]), ("hello", "Bob", ["y"])]
    with pytest.raises(DataError, match="no column 'Eve'; there are 'text', 'day'"):
        read_export(path, ColumnsConfig(), people=["Eve"])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.xlsx", "x", "no export ends in '.xlsx'"),
        ("a.csv", "text,label\nhello,x\n", "neither the columns 'annotator' and 'label'"),
        ("a.csv", "text,annotator,label\nhello,,x\n", "row 1: nothing says whose answer it is. Nothing was"),
        ("a.json", '[{"data": {"text": "x"}, "annotations": [7]}]', "annotations are given by number alone"),
        (
            "a.json",
            '[{"data": {"a": "x", "b": "y"}, "annotations": [{"completed_by": 1, "result": []}]}]',
            "row 1: no 'text'; there is 'a', 'b'",
        ),
        (
            "a.csv",
            "id,text,topic.responses,topic.responses.users\n1,hello,['x'],['u']\n",
            "export as JSON or Parquet",
        ),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as raised:
        read_export(tmp_path / name, ColumnsConfig())
    assert told in str(raised.value) and "Mend:" in str(raised.value)


def test_a_missing_file_and_an_unknown_tool_are_told(tmp_path):
    with pytest.raises(DataError, match="doesn't exist"):
        read_export(tmp_path / "none.json", ColumnsConfig())
    with pytest.raises(UsageError, match="'doccano' is none of label-studio, argilla, csv"):
        read("long.csv", form="doccano")


def test_a_tool_may_be_named_where_its_file_could_be_anothers(tmp_path):
    shutil.copy(FILES / "label_studio.csv", tmp_path / "a.csv")
    export = read_export(tmp_path / "a.csv", ColumnsConfig(label="topic"), form="csv")
    assert export.tool == "csv" and len(export.said) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "data annotations result value choices from_name completed_by text fields responses user_id "
                "values suggestions predictions topic.responses topic.responses.users labels id".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    records=st.lists(
        st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "annotations",
                    "fields",
                    "responses",
                    "topic.responses",
                    "topic.responses.users",
                    "text",
                    "annotator",
                    "label",
                    "id",
                ]
            ),
            JSON,
            min_size=1,
        ),
        min_size=1,
        max_size=4,
    ),
    form=st.sampled_from([None, "label-studio", "argilla", "csv"]),
)
def test_whatever_a_file_holds_is_read_or_told(tmp_path, records, form):
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    try:
        export = read_export(path, ColumnsConfig(), form=form)
    except TutelageError as error:
        assert "Mend:" in str(error)
        return
    for item in export.said:
        assert item.annotator and any(item.answers.values())


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.strip)


def as_label_studio(votes):
    return [
        {
            "id": number,
            "data": {"text": text},
            "annotations": [
                {
                    "completed_by": {"id": 1, "email": who},
                    "result": [{"from_name": "label", "type": "choices", "value": {"choices": [label]}}],
                }
                for who, label in said.items()
            ],
            "predictions": [{"result": [{"from_name": "label", "value": {"choices": ["x"]}}]}],
        }
        for number, (text, said) in enumerate(votes.items())
    ]


def as_label_studio_rows(votes):
    rows = [(text, who, label) for text, said in votes.items() for who, label in said.items()]
    return [
        {"text": text, "id": n, "label": label, "annotator": who, "annotation_id": n, "lead_time": 1.0}
        for n, (text, who, label) in enumerate(rows)
    ]


def as_argilla(votes):
    return [
        {
            "id": f"r{number}",
            "fields": {"text": text},
            "metadata": {},
            "suggestions": {"label": {"value": "x", "agent": "bert"}},
            "responses": {"label": [{"value": label, "user_id": who} for who, label in said.items()]},
        }
        for number, (text, said) in enumerate(votes.items())
    ]


def as_argilla_columns(votes):
    return {
        "id": [f"r{number}" for number in range(len(votes))],
        "text": list(votes),
        "label.responses": [list(said.values()) for said in votes.values()],
        "label.responses.users": [list(said) for said in votes.values()],
        "label.responses.status": [["submitted"] * len(said) for said in votes.values()],
        "label.suggestion": ["x"] * len(votes),
    }


def as_table(votes):
    return [
        {"text": text, "annotator": who, "label": label}
        for text, said in votes.items()
        for who, label in said.items()
    ]


def as_wide_table(votes):
    return [{"text": text, **{who: said.get(who, "") for who in "abc"}} for text, said in votes.items()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    votes=st.dictionaries(
        TEXTS,
        st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), min_size=1),
        min_size=1,
        max_size=5,
    )
)
def test_the_same_votes_are_read_from_every_format(tmp_path, votes):
    wanted = sorted((text, who, label) for text, said in votes.items() for who, label in said.items())
    makers = (as_label_studio, as_label_studio_rows, as_argilla, as_argilla_columns, as_table, as_wide_table)
    for make in makers:
        content = make(votes)
        paths = [tmp_path / "votes.json"]
        paths[0].write_text(json.dumps(content))
        if make in (as_label_studio_rows, as_table, as_wide_table):
            paths.append(tmp_path / "votes.csv")
            with paths[1].open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, content[0])
                writer.writeheader()
                writer.writerows(content)
        for path in paths:
            export = read_export(path, ColumnsConfig())
            found = sorted(
                (text, who.removeprefix("argilla "), label)
                for text, who, (label,) in answers(export, "label")
            )
            assert found == wanted, (make.__name__, path.suffix)
            models = export.left_out[LeftOut.SUGGESTION]
            assert models == (len(votes) if make in (as_label_studio, as_argilla, as_argilla_columns) else 0)
