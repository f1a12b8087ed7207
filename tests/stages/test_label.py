"""`label` over a scripted endpoint on loopback: what is asked first, and what is said of money."""

from __future__ import annotations

import json

import pytest
from inbox import endpoint_programme, questions

from faulty_teacher import Outcome, completion
from tutelage import storage
from tutelage.errors import BudgetExhausted
from tutelage.labelling import AnswerLedger
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import run_stage
from tutelage.stages.label import _pace

TEXTS = questions()


def test_gold_is_asked_before_traffic_so_that_a_spent_budget_leaves_an_evaluation(tmp_path, faulty_teacher):
    programme = Programme.open(
        endpoint_programme(tmp_path, faulty_teacher.url, TEXTS, 20, {"concurrency": 1})
    )
    for name in ("gold", "collect", "label"):
        run_stage(programme, name)
    asked = list(faulty_teacher.served)
    sealed = storage.read_table(programme.sealed).column("text").to_pylist()
    assert asked[: len(sealed)] == sealed
    assert set(asked[len(sealed) :]) == set(storage.read_table(programme.prompts).column("text").to_pylist())
    labelled = [entry.data for entry in programme.journal.entries() if entry.event == "labelled"]
    assert [(entry["spent"], entry["total"]) for entry in labelled] == [(0.0, 0.0)] * 2  # gold, the rest


class Told(Silent):
    """Keeps what a stage says."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(text)


def _priced(folder, teacher, labelling):
    price = {"input": 1000.0, "output": 2000.0}
    programme = Programme.open(endpoint_programme(folder, teacher.url, TEXTS, 20, labelling, price=price))
    for name in ("gold", "collect"):
        run_stage(programme, name)
    return programme


def test_what_the_rest_will_cost_is_told_from_golds_answers_before_it_is_asked(tmp_path, faulty_teacher):
    programme = _priced(tmp_path, faulty_teacher, {"budget": 100.0})
    told = Told()
    run_stage(programme, "label", told)
    rest = len(TEXTS) - 20
    [line] = [line for line in told.lines if "will cost about" in line]
    each = (20 * 1000 + 5 * 2000) / 1e6  # the scripted endpoint's account is the same for every prompt
    assert line.startswith(f"{rest} prompts will cost about ${rest * each:.2f} ")
    assert "from 20 answers" in line
    assert not any("labelling.budget" in line for line in told.lines)


def test_a_budget_that_will_not_bear_the_rest_is_told_before_it_is_spent(tmp_path, faulty_teacher):
    told = Told()
    usage = {"prompt_tokens": 800, "completion_tokens": 100}
    faulty_teacher.default = Outcome(body=completion('{"label": "refund"}', usage=usage))
    each = (800 * 1000 + 100 * 2000) / 1e6
    programme = _priced(tmp_path, faulty_teacher, {"budget": 20 * each + 8.0})
    with pytest.raises(BudgetExhausted):
        run_stage(programme, "label", told)
    assert any("labelling.budget will end before the transfer set does" in line for line in told.lines)


def test_what_an_ensemble_will_cost_is_told_too(tmp_path, faulty_teacher):
    programme = _priced(tmp_path, faulty_teacher, {"budget": 100.0})
    content = json.loads((tmp_path / "tutelage.yaml").read_text())
    one = content["teacher"]
    members = [{"teacher": one}, {"teacher": {**one, "model": "other"}}]
    content["teacher"] = {"type": "ensemble", "strategy": "majority", "members": members}
    (tmp_path / "tutelage.yaml").write_text(json.dumps(content))
    told = Told()
    run_stage(Programme.open(programme.folder), "label", told)
    rest = len(TEXTS) - 20
    each = 2 * (20 * 1000 + 5 * 2000) / 1e6
    [line] = [line for line in told.lines if "will cost about" in line]
    assert line.startswith(f"{rest} prompts will cost about ${rest * each:.2f} ")
    assert line.endswith("Gold's answers are taken for typical of the rest")


@pytest.mark.parametrize(
    ("per_second", "told"),
    [
        (1_234.5, "1,234 answers/s"),
        (10.0, "10 answers/s"),
        (9.99, "599 answers a minute"),
        (0.17, "10 answers a minute"),
    ],
)
def test_a_slow_pace_is_told_by_the_minute(per_second, told):
    assert _pace(per_second) == told


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": -20, "completion_tokens": 5}])
def test_answers_without_an_account_are_told(tmp_path, faulty_teacher, usage):
    faulty_teacher.default = Outcome(body=completion('{"label": "refund"}', usage=usage))
    programme, told = _priced(tmp_path, faulty_teacher, {"budget": 100.0}), Told()
    run_stage(programme, "label", told)
    lines = [line for line in told.lines if "without a usable count of tokens" in line]
    assert [line.split(" ")[0] for line in lines] == ["20", str(len(TEXTS) - 20)]
    with AnswerLedger(programme.answers) as ledger:
        total = ledger.spent()
    assert sum(float(line.split("$")[1].split(" ")[0]) for line in lines) == pytest.approx(total, abs=1e-3)


def test_an_account_beyond_what_an_answer_can_cost_is_told_and_ends_the_run_with_what_was_under_way(
    tmp_path, faulty_teacher
):
    usage = {"prompt_tokens": 100_000, "completion_tokens": 5}
    faulty_teacher.default = Outcome(body=completion('{"label": "refund"}', usage=usage))
    programme, told = _priced(tmp_path, faulty_teacher, {"budget": 50.0}), Told()
    with pytest.raises(BudgetExhausted):
        run_stage(programme, "label", told)
    [line] = [line for line in told.lines if "Mend: look at the provider's bill" in line]
    assert "cost $100.0100" in line and "booked as told" in line
    assert faulty_teacher.arrivals.total() == 1
