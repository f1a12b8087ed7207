from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tutelage.errors import IntegrityError
from tutelage.labelling import AnswerLedger, LedgerKey, export_answers
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage, answered_schema
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
