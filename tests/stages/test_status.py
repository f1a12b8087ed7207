from __future__ import annotations

import json
from pathlib import Path

from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.programme import Programme
from tutelage.records import Answer, AnswerStatus, Prompt, Usage
from tutelage.stages import read_status

CONFIG = "gold: {path: gold.csv}\ntraffic: {path: traffic.csv}\nteacher: {type: encoder}\n"
ANSWER = Answer(AnswerStatus.OK, "a", model="m-1", usage=Usage(200, 10, 0.25, calls=1), repeatability=0.5)


def _programme(folder: Path) -> Programme:
    (folder / "tutelage.yaml").write_text(
        CONFIG.replace("{path: gold.csv}", "{path: gold.csv, training: {share: 0.3}}")
    )
    return Programme.open(folder)


def test_spending_is_told_by_teacher_day_and_slice(tmp_path: Path) -> None:
    programme = _programme(tmp_path)
    key = LedgerKey("gpt", "r", "v")
    with AnswerLedger(programme.answers) as ledger:
        ledger.record(key, [(Prompt(str(i), f"n {i}"), ANSWER) for i in range(3)])
        ledger.record(key, [(Prompt("c", "c", slice="critical"), Answer(AnswerStatus.REFUSED, None))])
        ledger.fail_attempt(ledger.open_attempt(key, 1.0), cost=0.25)
        ledger.open_attempt(key, 1.0)
        ledger.set_batch_remote(ledger.open_batch(key, "tag-1", ["a", "b"], 2.0), "batch_abc")
        ended = ledger.open_batch(key, "tag-2", ["c"], 2.0)
        ledger.close_batch(ended)
    status = read_status(programme)
    [batch] = status.batches
    assert (batch["remote"], batch["prompts"], batch["bound"]) == ("batch_abc", 2, 2.0)
    [row] = status.spend
    assert (row["answers"], row["spent"], row["cost"], row["unaccounted"]) == (4, 4.0, 1.0, 3.0)
    assert (row["per_thousand_answers"], row["repeatability"], row["models"]) == (1000.0, 0.5, {"m-1": 3})
    assert (row["input_tokens"], row["output_tokens"]) == (600, 30)
    assert [(row["teacher"], row["answers"], row["spent"]) for row in status.spend_by_day] == [
        ("gpt", 4, 4.0)
    ]
    by_slice = {
        row["slice"]: (row["answers"], row["spent"], row["per_thousand_answers"])
        for row in status.spend_by_slice
    }
    assert by_slice == {"normal": (3, 0.75, 250.0), "critical": (1, 0.0, 0.0), None: (0, 3.25, None)}
    assert json.loads(json.dumps(status.to_json())) == status.to_json()


def test_nothing_is_made_where_nothing_was_asked(tmp_path: Path) -> None:
    programme = _programme(tmp_path)
    status = read_status(programme)
    assert (status.spend, status.spend_by_day, status.spend_by_slice, status.batches) == ([], [], [], [])
    assert [path.name for path in tmp_path.iterdir()] == ["tutelage.yaml"]
