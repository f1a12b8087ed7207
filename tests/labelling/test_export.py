from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import IntegrityError, UsageError
from tutelage.labelling import AnswerLedger, LedgerKey, export_answers, export_quarantined
from tutelage.labelling._ledger_columns import COLUMNS
from tutelage.records import (
    Answer,
    AnswerStatus,
    DistributionOrigin,
    Fields,
    Prompt,
    Usage,
    Value,
    answered_schema,
    dump_value,
    load_value,
    quarantined_schema,
)
from tutelage.tasks import Classify

TASK = Classify(("a", "b"))
KEY = LedgerKey("t", "r", TASK.version)
ROW = np.array([0.25, 0.75], dtype=np.float32)


def test_rows_for_every_answer_in_the_prompts_order(tmp_path: Path) -> None:
    prompts = [
        Prompt("p1", "one", "file.csv"),
        Prompt("p2", "two", slice="critical"),
        Prompt("p3", "three"),
        Prompt("p4", "one"),
        Prompt("p5", "five"),
    ]
    answers = {
        "five": Answer(AnswerStatus.OK, ("a", "b")),
        "two": Answer(AnswerStatus.OUT_OF_SET, None, raw="c", reason="not in the set"),
        "one": Answer(AnswerStatus.OK, "b", ROW, DistributionOrigin.VOTES, usage=Usage(cost=0.5)),
    }
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(Prompt("x", text), answer) for text, answer in answers.items()])
        table = export_answers(prompts, ledger, KEY, TASK, {prompts[0].hash: "a", "p5": ("b",), "p2": "a"})
        assert export_answers([], ledger, KEY, TASK, {}).num_rows == 0
    assert table.schema == answered_schema()
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == ["p1", "p2", "p4", "p5"]
    assert [row["value"] for row in rows] == ['"b"', None, '"b"', '["a", "b"]']
    assert [row["status"] for row in rows] == ["ok", "out_of_set", "ok", "ok"]
    assert [row["gold"] for row in rows] == ['"a"', '"a"', '"a"', '["b"]']
    assert [row["distribution"] for row in rows] == [[0.25, 0.75], None, [0.25, 0.75], None]
    assert (rows[0]["source"], rows[1]["slice"], rows[0]["origin"], rows[0]["cost"]) == (
        "file.csv",
        "critical",
        "votes",
        0.5,
    )


def test_a_distribution_that_does_not_fit_is_found(tmp_path: Path) -> None:
    prompt = Prompt("p1", "one")
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(prompt, Answer(AnswerStatus.OK, "a", np.ones(3, dtype=np.float32)))])
        with pytest.raises(IntegrityError, match="3 entries, and the task has 2 labels"):
            export_answers([prompt], ledger, KEY, TASK, {})


def test_a_distribution_that_is_damaged_is_found(tmp_path: Path) -> None:
    prompt = Prompt("p1", "one")
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(prompt, Answer(AnswerStatus.OK, "a", ROW))])
        with ledger.transaction():
            ledger._database.execute("UPDATE answers SET distribution=substr(distribution, 1, 7)")
        with pytest.raises(IntegrityError, match="no row of numbers of 4 bytes"):
            export_answers([prompt], ledger, KEY, TASK, {})


def test_a_person_s_word_stands_over_the_teacher_s(tmp_path: Path) -> None:
    prompts = [Prompt(f"p{i}", f"text {i}") for i in range(5)]
    confident = Answer(
        AnswerStatus.OK, "b", ROW, DistributionOrigin.VOTES, rationale="it says b", repeatability=0.5
    )
    corrections: dict[str, Value] = {
        prompts[0].hash: "a",  # the teacher said b
        prompts[1].hash: "b",  # as the teacher
        prompts[2].hash: "b",  # the teacher refused
        Prompt("", "unknown").hash: "a",
    }
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        answers = [confident, confident, Answer(AnswerStatus.REFUSED, None), confident]
        ledger.record(KEY, list(zip(prompts, answers, strict=False)))
        table = export_answers(prompts, ledger, KEY, TASK, {}, corrections)
        assert ledger.get_many(KEY, [prompts[0].hash])[prompts[0].hash].value == "b"
        plain = export_answers(prompts, ledger, KEY, TASK, {})
        assert export_answers(prompts, ledger, KEY, TASK, {}, {prompts[1].hash: "b"}).equals(plain)
    assert table.schema == answered_schema()
    rows = table.to_pylist()
    told = [
        (row["status"], row["value"], row["origin"], row["teacher_value"], row["rationale"]) for row in rows
    ]
    assert told == [
        ("ok", '"a"', "human", '"b"', ""),
        ("ok", '"b"', "votes", None, "it says b"),
        ("ok", '"b"', "human", None, ""),
        ("ok", '"b"', "votes", None, "it says b"),
    ]
    assert [row["distribution"] for row in rows] == [None, [0.25, 0.75], None, [0.25, 0.75]]
    assert [row["repeatability"] for row in rows] == [0.5, 0.5, None, 0.5]


def test_a_correction_that_says_the_same_in_other_words_is_none(tmp_path: Path) -> None:
    prompt = Prompt("p1", "one")
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(prompt, Answer(AnswerStatus.OK, Fields({"total": 1.0, "kind": "x"})))])
        same = export_answers(
            [prompt], ledger, KEY, TASK, {}, {prompt.hash: Fields({"kind": "x", "total": 1})}
        )
        other = export_answers(
            [prompt], ledger, KEY, TASK, {}, {prompt.hash: Fields({"kind": "x", "total": 2})}
        )
    assert same["origin"].to_pylist() == ["none"]
    assert [
        load_value(text)["total"]
        for text in (*other["value"].to_pylist(), *other["teacher_value"].to_pylist())
    ] == [2, 1.0]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["soft", "hard", "bad"])), max_size=20),
    st.lists(st.integers(0, 15), max_size=30),
    st.integers(1, 7),
    st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_columns_say_what_the_answers_say(
    recorded: list[tuple[int, str]], asked: list[int], at_once: int, located: int
) -> None:
    """Whatever the order, the parts and the way of reading, a row is its prompt's answer."""
    kinds = {
        "soft": lambda i: Answer(AnswerStatus.OK, "b", np.array([0, i], np.float32), usage=Usage(cost=i)),
        "hard": lambda i: Answer(AnswerStatus.OK, "a", rationale=f"because {i}", repeatability=i / 16),
        "bad": lambda i: Answer(AnswerStatus.UNPARSEABLE, None, raw="?"),
    }
    answers = {number: kinds[kind](number) for number, kind in recorded}
    prompts = [Prompt(f"p{place}", f"text {number}") for place, number in enumerate(asked)]
    with tempfile.TemporaryDirectory() as folder, AnswerLedger(Path(folder, "a.sqlite")) as ledger:
        ledger.record(KEY, [(Prompt("", f"text {number}"), answer) for number, answer in answers.items()])
        ledger.record(LedgerKey("other", "r", "v"), [(Prompt("", "text 1"), Answer(AnswerStatus.OK, "a"))])
        for within in (at_once, 7):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("tutelage.labelling.export.AT_ONCE", at_once)
                patch.setattr("tutelage.labelling._ledger_columns.AT_ONCE", within)
                patch.setattr("tutelage.labelling.ledger.LOCATED", located)
                table = export_answers(prompts, ledger, KEY, TASK, {})
            table.validate(full=True)
            expected = [(prompts[place].id, answers[n]) for place, n in enumerate(asked) if n in answers]
            assert [
                (
                    row["id"],
                    row["status"],
                    row["value"],
                    row["distribution"],
                    row["cost"],
                    row["rationale"],
                    row["repeatability"],
                )
                for row in table.to_pylist()
            ] == [
                (
                    name,
                    answer.status,
                    None if answer.value is None else dump_value(answer.value),
                    None if answer.distribution is None else answer.distribution.tolist(),
                    answer.usage.cost,
                    answer.rationale,
                    answer.repeatability,
                )
                for name, answer in expected
            ]


def test_any_columns_are_read_and_none_that_there_isn_t(tmp_path: Path) -> None:
    first, second = Prompt("1", "x", slice="critical"), Prompt("2", "y")
    full = Answer(AnswerStatus.OK, "a", tokens=b"\x01", model="m", usage=Usage(20, 5, 0.5, 1.5, 2))
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        ledger.record(KEY, [(first, full), (second, Answer(AnswerStatus.REFUSED, None, raw="no"))])
        everything = ledger.read_answers(KEY, COLUMNS)
        assert everything.num_rows == 2 and everything.column_names == list(COLUMNS)
        [row] = ledger.read_answers(KEY, COLUMNS, hashes=[first.hash] * 2).to_pylist()
        assert (row["slice"], row["tokens"], row["model"], row["calls"]) == ("critical", b"\x01", "m", 2)
        assert ledger.read_answers(KEY, ["raw"], without=AnswerStatus.OK).to_pylist() == [{"raw": "no"}]
        with pytest.raises(UsageError, match="no column 'prompt_hash'"):
            ledger.read_answers(KEY, ["prompt_hash"])


def test_answers_that_can_t_teach_are_told_with_their_prompts(tmp_path: Path) -> None:
    prompts = [Prompt(f"p{i}", f"text {i % 4}", "file.csv", "hard") for i in range(6)]
    long = "x\0" + "€" * 5_000
    answers = [
        Answer(
            AnswerStatus.UNPARSEABLE, None, raw=long, reason="no JSON", model="m-1", usage=Usage(cost=0.5)
        ),
        Answer(AnswerStatus.OK, "a", raw="a"),
        Answer(AnswerStatus.REFUSED, None, raw=""),
    ]
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        assert [part.num_rows for part in export_quarantined(prompts, ledger, KEY)] == [0]
        ledger.record(KEY, list(zip(prompts, answers, strict=False)))
        ledger.record(LedgerKey("other", "r", "v"), [(prompts[3], answers[0])])
        [table] = export_quarantined(prompts, ledger, KEY)
    assert table.schema == quarantined_schema()
    first, second, again = table.to_pylist()
    assert [row["id"] for row in (first, second, again)] == ["p0", "p2", "p4"]
    assert (first["status"], first["reason"], first["model"], first["cost"]) == (
        "unparseable",
        "no JSON",
        "m-1",
        0.5,
    )
    assert (first["raw"], first["text"], first["slice"]) == (long[:2_000], "text 0", "hard")
    assert (second["status"], second["raw"]) == ("refused", "")
    assert again | {"id": "p0"} == first
