"""Teachers of other packages are held to the protocol, and one bad answer costs no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tutelage.config import LabellingConfig
from tutelage.errors import TeacherError
from tutelage.labelling import AnswerLedger, LedgerKey, label
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage
from tutelage.tasks import Classify

TASK = Classify(("refund", "card", "card stolen"))
QUICK = LabellingConfig(concurrency=4, attempts=3, wait=0.001)


def prompts(count: int) -> list[Prompt]:
    return [Prompt(str(number), f"prompt {number}") for number in range(count)]


class Saying:
    """Returns the given answers, whatever is asked, for at most twice `price` dollars a prompt."""

    name, revision, batch_size, concurrency = "plugin", "1", 8, 1

    def __init__(self, answers: Any, price: float = 0.0) -> None:
        self.paid, self._answers, self._price = price > 0, answers, price

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        return 2 * self._price * len(prompts)

    async def answer(self, prompts: Sequence[Prompt]) -> Any:
        return self._answers

    async def close(self) -> None:
        pass


def one_answer(ledger: AnswerLedger, answer: Any, task: Classify = TASK, price: float = 0.0) -> Answer:
    """What is kept of the answer, between two that are right."""
    value = ("card",) if task.multi_label else "card"
    right = Answer(AnswerStatus.OK, value, np.array([0, 1, 0], dtype=np.float32))
    teacher = Saying([right, answer, right], price=price)
    report = label(prompts(3), teacher, task, ledger, QUICK)
    found = ledger.get_many(LedgerKey.of(teacher, task), [prompt.hash for prompt in prompts(3)])
    first, kept_, third = (found[prompt.hash] for prompt in prompts(3))
    assert first.value == third.value == value and first.distribution is not None
    assert sum(report.by_status.values()) == 3
    return kept_


SEVERAL = Classify(TASK.labels, multi_label=True)
ROW = np.array([0.2, 0.7, 0.1], dtype=np.float32)


@pytest.mark.parametrize(
    "task,value,status,raw",
    [
        (TASK, "zzz", "out_of_set", "zzz"),
        (TASK, "Card", "out_of_set", "Card"),
        (TASK, "\ud800", "out_of_set", "\\ud800"),
        (TASK, 3, "unparseable", "3"),
        (TASK, None, "unparseable", "None"),
        (TASK, ("card",), "unparseable", "('card',)"),
        (SEVERAL, ("card", "zzz"), "out_of_set", "('card', 'zzz')"),
        (SEVERAL, "card", "unparseable", "card"),
        (SEVERAL, ("card", 3), "unparseable", "('card', 3)"),
    ],
)
def test_a_value_that_is_not_the_tasks_is_no_answer_and_kept_as_it_was(
    ledger: AnswerLedger, task: Classify, value: Any, status: str, raw: str
) -> None:
    answer = one_answer(ledger, Answer(AnswerStatus.OK, value), task)
    assert (answer.status, answer.value, answer.raw) == (status, None, raw)
    assert answer.reason


def test_what_was_received_stays_the_raw_text(ledger: AnswerLedger) -> None:
    answer = one_answer(ledger, Answer(AnswerStatus.OK, "zzz", raw="it is zzz", reason="unsure"))
    assert (answer.raw, answer.reason) == ("it is zzz", "unsure; 'zzz' is not in the label set")


@pytest.mark.parametrize(
    "task,row,said",
    [
        (TASK, np.array([0.5, np.nan, 0.5]), "not finite"),
        (TASK, np.array([0.5, np.inf, 0.5]), "not finite"),
        (TASK, np.ones(2), "shape"),
        (TASK, np.ones((1, 3)) / 3, "shape"),
        (TASK, np.array([0.2, 0.7, 0.2]), "its sum is 1.1"),
        (TASK, np.array([-0.2, 1.0, 0.2]), "outside 0 to 1"),
        (TASK, np.array(["a", "b", "c"]), "not an array of numbers"),
        (TASK, [0.2, 0.7, 0.1], "list"),
        (SEVERAL, np.array([0.2, 1.2, 0.0]), "outside 0 to 1"),
        (TASK, ROW, ""),
        (TASK, np.array([0.333, 0.333, 0.333]), ""),
        (TASK, np.array([0, 1, 0]), ""),
        (SEVERAL, np.array([0.9, 0.9, 0.9]), ""),
    ],
)
def test_a_distribution_that_is_none_is_dropped_and_the_value_stays(
    ledger: AnswerLedger, task: Classify, row: Any, said: str
) -> None:
    value = ("card",) if task.multi_label else "card"
    answer = one_answer(ledger, Answer(AnswerStatus.OK, value, row, DistributionOrigin.MODEL), task)
    assert (answer.status, answer.value) == ("ok", value)
    if said:
        assert (answer.distribution, answer.origin) == (None, "none")
        assert answer.reason.startswith("its distribution was dropped") and said in answer.reason
    else:
        assert answer.distribution is not None and (answer.reason, answer.origin) == ("", "model")
        np.testing.assert_allclose(answer.distribution, row, atol=1e-6)


def test_odd_parts_of_an_answer_do_not_break_the_ledger(ledger: AnswerLedger) -> None:
    odd: Any = Answer("okay", "card", raw="\ud800", reason=None, model=7, origin="guess")  # type: ignore[arg-type]
    answer = one_answer(ledger, odd)
    assert (answer.status, answer.value, answer.raw, answer.model) == ("unparseable", None, "\\ud800", "7")


@pytest.mark.parametrize(
    "part,said",
    [
        ({"tokens": "text"}, "its tokens were dropped"),
        ({"tokens": None}, "its tokens were dropped"),
        ({"repeatability": 1.5}, "its repeatability was dropped"),
        ({"repeatability": float("nan")}, "its repeatability was dropped"),
        ({"repeatability": "0.5"}, "its repeatability was dropped"),
        ({"repeatability": True}, "its repeatability was dropped"),
    ],
)
def test_what_stands_beside_a_value_is_dropped_where_it_is_not_what_it_should_be(
    ledger: AnswerLedger, part: Any, said: str
) -> None:
    answer = one_answer(ledger, Answer(AnswerStatus.OK, "card", **part))
    assert (answer.value, answer.tokens, answer.repeatability) == ("card", b"", None)
    assert answer.reason.startswith(said)


def test_what_stands_beside_a_value_is_kept(ledger: AnswerLedger) -> None:
    given = Answer(AnswerStatus.OK, "card", rationale="as \ud800 said", tokens=b"x", repeatability=1)
    answer = one_answer(ledger, given)
    assert (answer.rationale, answer.tokens, answer.repeatability) == ("as \\ud800 said", b"x", 1.0)
    assert answer.reason == ""


@pytest.mark.parametrize("value", ["card", ("zzz",), None])
def test_only_an_ok_answer_has_a_value(ledger: AnswerLedger, value: Any) -> None:
    assert one_answer(ledger, Answer(AnswerStatus.REFUSED, value)).value is None


@pytest.mark.parametrize("answer", [None, "card", {"value": "card"}])
def test_what_is_no_answer_is_kept_as_one_that_can_not_be_read(ledger: AnswerLedger, answer: Any) -> None:
    found = one_answer(ledger, answer, price=1.0)
    assert found.status is AnswerStatus.UNPARSEABLE and type(answer).__name__ in found.reason
    assert found.usage.cost == 2.0  # of its cost nobody knows: the bound


@pytest.mark.parametrize(
    "usage,cost",
    [
        (Usage(cost=float("nan")), 2.0),
        (Usage(cost=-1.0), 2.0),
        (Usage(cost="1"), 1.0),  # type: ignore[arg-type]
        (Usage(cost=np.float32(0.5), input_tokens=np.int64(7)), 0.5),  # type: ignore[arg-type]
        (Usage(calls=None), 2.0),  # type: ignore[arg-type]
        ({"cost": 1.0}, 2.0),
    ],
)
def test_an_account_that_is_none_counts_at_the_bound(ledger: AnswerLedger, usage: Any, cost: float) -> None:
    assert one_answer(ledger, Answer(AnswerStatus.OK, "card", usage=usage), price=1.0).usage.cost == cost


@pytest.mark.parametrize(
    "answers,said", [([Answer(AnswerStatus.OK, "card")], "1 answers to 3"), (None, "NoneType")]
)
def test_a_wrong_number_of_answers_is_an_error_and_paid(
    ledger: AnswerLedger, answers: Any, said: str
) -> None:
    with pytest.raises(TeacherError, match=said):
        label(prompts(3), Saying(answers, price=1.0), TASK, ledger, QUICK)
    assert ledger.spent() == 6.0  # what the others cost nobody knows
    [summary] = ledger.summary()
    assert (summary.answers, summary.attempts) == (0, 1)
