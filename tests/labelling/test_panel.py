"""Ensembles over scripted members: what is asked of whom, what becomes of it, and what it tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tutelage.config import EnsembleTeacherConfig, LabellingConfig
from tutelage.errors import AwaitingPeople, BudgetExhausted, ConfigError, TeacherRefusesAccess
from tutelage.labelling import AnswerLedger, LedgerKey, Panel, label_panel, open_panel, panel_figures
from tutelage.labelling.adjudication import Adjudication, disputed
from tutelage.labelling.combining import Voice, combine
from tutelage.labelling.panel import Member
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage
from tutelage.tasks import Classify, Generate
from tutelage.teachers import TeacherContext

TASK = Classify(("card", "refund", "other"))
MULTI = Classify(TASK.labels, multi_label=True)
PROMPTS = [Prompt(str(n), f"text {n}") for n in range(6)]
QUICK = LabellingConfig(attempts=1, wait=0.001)


class Scripted:
    """Says what `says` maps a text to; costs `price` a prompt."""

    concurrency = 1
    batch_size = 4

    def __init__(self, name: str, says, price: float = 0.0, status=AnswerStatus.OK) -> None:
        self.name, self.revision, self.paid = name, "1", price > 0
        self._says, self._price, self._status = says, price, status
        self.asked: list[str] = []

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        return self._price * len(prompts)

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        self.asked += [prompt.text for prompt in prompts]
        usage = Usage(cost=self._price, calls=1)
        return [
            Answer(AnswerStatus.OK, value, usage=usage)
            if (value := self._says(prompt.text)) is not None
            else Answer(AnswerStatus.REFUSED, None, usage=usage, reason="no")
            for prompt in prompts
        ]

    async def close(self) -> None:
        pass


class People(Scripted):
    """People, who have answered only what `says` has a value for."""

    rejected = ()

    def answerable(self, prompts):
        return [prompt for prompt in prompts if self._says(prompt.text) is not None]

    def leave(self, prompts):
        raise AwaitingPeople(f"{len(prompts)} wait")


def panel(*teachers, strategy="majority", judge=None) -> Panel:
    members = tuple(Member(f"{n} {one.name}", one) for n, one in enumerate(teachers, start=1))
    return Panel(members, strategy, judge)


def kept(ledger: AnswerLedger, one: Panel, prompts=PROMPTS) -> dict[str, Answer]:
    found = ledger.get_many(LedgerKey.of(one, TASK), [prompt.hash for prompt in prompts])
    return {prompt.id: found[prompt.hash] for prompt in prompts if prompt.hash in found}


def always(value):
    return lambda text: value


def odd(text):
    return "refund" if int(text[-1]) % 2 else "card"


def voices(*said, weights=None):
    weights = weights or [1.0] * len(said)
    found = []
    for n, (item, weight) in enumerate(zip(said, weights, strict=True)):
        if isinstance(item, str | tuple):
            item = Answer(AnswerStatus.OK, item)
        elif isinstance(item, list):
            row = np.array(item, dtype=np.float32)
            item = Answer(AnswerStatus.OK, TASK.labels[int(row.argmax())], row, DistributionOrigin.MODEL)
        found.append(Voice(f"m{n}", weight, item))
    return found


REFUSED = Answer(AnswerStatus.REFUSED, None)


def test_the_mean_of_distributions_with_a_bare_value_as_one_hot():
    answer = combine(TASK, "mean", voices([0.6, 0.3, 0.1], "refund", [0.5, 0.4, 0.1]))
    assert answer.distribution.tolist() == pytest.approx([1.1 / 3, 1.7 / 3, 0.2 / 3], abs=1e-6)
    assert (answer.value, answer.origin) == ("refund", DistributionOrigin.ENSEMBLE)
    assert answer.reason == "3 of 3 members, distributions: 2 model, 1 one-hot"
    assert answer.repeatability == pytest.approx(1 / 3)
    assert json.loads(answer.raw)["members"] == {"m0": "card", "m1": "refund", "m2": "card"}
    assert answer.usage == Usage()


def test_weights_count_in_weighted_alone():
    said = voices("card", "refund", weights=[3.0, 1.0])
    assert combine(TASK, "weighted", said).distribution.tolist() == pytest.approx([0.75, 0.25, 0.0])
    assert combine(TASK, "mean", said).distribution.tolist() == pytest.approx([0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("said", "weights", "value"),
    [
        (("refund", "refund", "card"), [1, 1, 9], "refund"),
        (("refund", "card"), [2, 1], "refund"),
        (([0.1, 0.9, 0.0], [0.6, 0.4, 0.0]), [1, 1], "refund"),
        (("other", "card"), [1, 1], "card"),
    ],
)
def test_the_majority_ties_broken_by_weight_then_by_the_mean(said, weights, value):
    assert combine(TASK, "majority", voices(*said, weights=weights)).value == value


def test_several_labels_are_voted_on_one_by_one():
    answer = combine(MULTI, "majority", voices(("card",), ("card", "refund"), ("other", "refund")))
    assert answer.value == ("card", "refund")
    assert answer.distribution.tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert combine(MULTI, "majority", voices((), (), ("card",))).value == ()


def test_open_values_by_agreement_with_the_others():
    task = Generate()
    said = voices("the card was lost", "a parcel", "the card got lost")
    assert combine(task, "majority", said).value in {"the card was lost", "the card got lost"}
    assert combine(task, "majority", said).distribution is None
    heavy = voices("the card was lost", "a parcel", "the card got lost", weights=[1, 50, 1])
    assert combine(task, "weighted", heavy).value == "a parcel"


def test_members_without_a_usable_answer_are_left_out_and_named():
    answer = combine(TASK, "majority", voices("card", REFUSED, None))
    assert answer.value == "card" and answer.repeatability is None
    assert "1 of 3 members" in answer.reason
    assert "m1: refused" in answer.reason and "m2: no answer" in answer.reason
    unparseable = Answer(AnswerStatus.UNPARSEABLE, None)
    nothing = combine(TASK, "mean", voices(REFUSED, unparseable, REFUSED))
    assert (nothing.status, nothing.value) == (AnswerStatus.REFUSED, None)


def test_the_judge_counts_and_an_unusable_judge_quarantines():
    said = voices("card", "refund")
    judged = combine(TASK, "committee", said, Answer(AnswerStatus.OK, "other", rationale="neither"))
    assert (judged.value, judged.rationale, judged.distribution) == ("other", "neither", None)
    assert json.loads(judged.raw)["judge"] == "other"
    bad = combine(TASK, "committee", said, REFUSED)
    assert (bad.status, bad.value) == (AnswerStatus.REFUSED, None)


def test_each_is_asked_under_its_own_key_and_a_changed_panel_asks_nobody_twice(ledger):
    one, two, three = Scripted("a", always("card"), 0.5), Scripted("b", odd), Scripted("c", odd)
    first = panel(one, two, three)
    report = label_panel([*PROMPTS, PROMPTS[0]], first, TASK, ledger, QUICK)
    assert (report.asked, report.reused, report.cost) == (6, 0, 3.0)
    assert {id_: answer.value for id_, answer in kept(ledger, first).items()} == {
        str(n): odd(str(n)) for n in range(6)
    }
    assert label_panel(PROMPTS, first, TASK, ledger, QUICK).reused == 6
    assert first.paid and first.most_expensive(PROMPTS) == 3.0
    changed = panel(one, two, strategy="mean")
    assert changed.revision != first.revision
    report = label_panel(PROMPTS, changed, TASK, ledger, QUICK)
    assert (report.asked, report.cost) == (6, 0.0)
    assert [len(teacher.asked) for teacher in (one, two, three)] == [6, 6, 6]
    assert ledger.spent() == 3.0


def test_the_judge_sees_disputes_alone_with_nobodys_name(ledger):
    judge = Scripted("j", always("refund"), 0.1)
    one = panel(Scripted("a", always("card")), Scripted("b", odd), strategy="committee", judge=judge)
    label_panel(PROMPTS, one, TASK, ledger, QUICK)
    shown = [json.loads(text) for text in judge.asked]
    assert sorted(item["input"] for item in shown) == ["text 1", "text 3", "text 5"]
    assert all(sorted(item["candidates"]) == ["card", "refund"] for item in shown)
    assert [answer.value for answer in kept(ledger, one).values()] == ["card", "refund"] * 3
    figures = panel_figures(PROMPTS, one, TASK, ledger)
    assert (figures.asked, figures.sided_with, figures.with_none) == (3, {"1 a": 0, "2 b": 3}, 0)
    assert figures.cost == pytest.approx({"1 a": 0.0, "2 b": 0.0, "the judge": 0.3})
    assert len(figures.lines()) == 2 and json.dumps(figures.to_json())


def test_kappa_is_cohens(ledger):
    truth = {f"text {n}": TASK.labels[n % 3] for n in range(30)}
    other = {text: "card" if n % 4 else label for n, (text, label) in enumerate(truth.items())}
    prompts = [Prompt(text, text) for text in truth]
    one = panel(Scripted("a", truth.get), Scripted("b", other.get))
    label_panel(prompts, one, TASK, ledger, QUICK)
    [pair] = panel_figures(prompts, one, TASK, ledger).pairs
    assert pair.kappa == pytest.approx(cohen_kappa_score(list(truth.values()), list(other.values())))
    assert pair.agreement == pytest.approx(np.mean([truth[text] == other[text] for text in truth]))


def test_candidates_stand_in_an_order_that_favours_nobody():
    orders = {
        tuple(json.loads(disputed(Prompt("x", f"text {n}"), values).text)["candidates"])
        for n in range(40)
        for values in (["card", "refund"], ["refund", "card", "card"])
    }
    assert orders == {("card", "refund"), ("refund", "card")}
    prompt = Prompt("x", "text")
    assert disputed(prompt, ["card", "refund"]) == disputed(prompt, ["refund", "card"])


def test_the_judge_is_asked_as_the_task_asks_with_the_candidates_behind():
    task = Adjudication(TASK)
    messages = task.render(disputed(Prompt("x", "my text"), ["card", "refund"]).text)
    plain = TASK.render("my text")
    assert messages[0]["content"].startswith(plain[0]["content"]) and "disagree" in messages[0]["content"]
    assert messages[-1]["content"].startswith("my text") and '- "card"' in messages[-1]["content"]
    assert task.version != TASK.version and task.parse('{"label": "card"}').value == "card"


def test_people_are_waited_for_and_the_others_are_asked_meanwhile(ledger):
    people = People("human", {"text 0": "card"}.get)
    one = panel(Scripted("a", odd), people)
    with pytest.raises(AwaitingPeople, match="5 wait"):
        label_panel(PROMPTS, one, TASK, ledger, QUICK)
    assert list(kept(ledger, one)) == ["0"]


def test_people_as_judge_are_shown_the_disputes(ledger):
    people = People("human", always(None))
    one = panel(Scripted("a", odd), Scripted("b", always("card")), strategy="committee", judge=people)
    with pytest.raises(AwaitingPeople, match="3 wait"):
        label_panel(PROMPTS, one, TASK, ledger, QUICK)
    assert list(kept(ledger, one)) == ["0", "2", "4"]


def test_one_purse_holds_for_all_members(ledger):
    config = QUICK.model_copy(update={"budget": 8.5})
    one, two = Scripted("a", odd, 1.0), Scripted("b", odd, 1.0)
    one.batch_size = two.batch_size = 1
    with pytest.raises(BudgetExhausted):
        label_panel(PROMPTS, panel(one, two), TASK, ledger, config)
    assert (len(one.asked), len(two.asked), ledger.spent()) == (6, 2, 8.0)


def test_asked_again_people_are_left_in_peace(ledger):
    people, other = People("human", odd), Scripted("a", odd)
    one = panel(other, people)
    label_panel(PROMPTS, one, TASK, ledger, QUICK)
    label_panel(PROMPTS, one.again(), TASK, ledger, QUICK)
    assert (len(people.asked), len(other.asked)) == (6, 12)


def test_what_a_prompted_judge_could_cost_is_reckoned_before_there_is_a_dispute():
    one = {"type": "openai", "rights": "own", "model": "m", "base_url": "http://127.0.0.1:9/v1", "samples": 1}
    priced = {**one, "price": {"input": 1.0, "output": 2.0}}
    members = [{"teacher": one}, {"teacher": {**one, "model": "n"}}]
    config = EnsembleTeacherConfig.model_validate(
        {"type": "ensemble", "strategy": "committee", "members": members, "judge": priced}
    )
    opened = open_panel(config, TeacherContext(TASK, (), Path()))
    longer = [Prompt("x", "text " * 100)]
    assert 0 < opened.most_expensive(PROMPTS[:1]) < opened.most_expensive(longer)
    [dispute] = [disputed(longer[0], ["card", "refund"])]
    assert opened.judge is not None
    assert opened.judge.most_expensive([dispute]) < opened.most_expensive(longer)


def test_one_teacher_in_two_places_is_refused(tmp_path):
    one = {"type": "openai", "rights": "own-model", "model": "m", "base_url": "http://127.0.0.1:1"}
    dearer = one | {"timeout": 5.0}  # which shapes no answer
    context = TeacherContext(TASK, (), tmp_path)

    def opened(*teachers):
        members = [{"teacher": teacher} for teacher in teachers]
        return open_panel(EnsembleTeacherConfig(members=members), context)

    with pytest.raises(ConfigError, match="'1 openai:m' and '2 openai:m' are the same teacher.*Mend"):
        opened(one, dearer)
    assert len(opened(one, one | {"temperature": 0.5}).members) == 2
    assert len(opened({"type": "human"}, {"type": "human", "queue": "other.csv"}).members) == 2


def test_a_member_that_gives_up_half_way_costs_the_others_nothing(ledger):
    one, two = Scripted("a", always("card"), 0.5), GivesUp("b", odd, 0.25)
    ensemble = panel(one, two, strategy="mean")
    with pytest.raises(TeacherRefusesAccess):
        label_panel(PROMPTS, ensemble, TASK, ledger, QUICK)
    assert kept(ledger, ensemble) == {} and len(one.asked) == 6  # nothing is made of half the members
    two.after = 99
    report = label_panel(PROMPTS, ensemble, TASK, ledger, QUICK)
    assert len(one.asked) == 6 and sorted(two.answered) == sorted(prompt.text for prompt in PROMPTS)
    assert len(kept(ledger, ensemble)) == 6 and report.failed_prompts == ()
    assert ledger.spent() == pytest.approx(6 * 0.5 + 6 * 0.25)


class GivesUp(Scripted):
    """Answers one prompt a call, and after so many of them refuses access."""

    batch_size = 1
    after = 3

    def __init__(self, *parts) -> None:
        super().__init__(*parts)
        self.answered: list[str] = []

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        if len(self.answered) >= self.after:
            raise TeacherRefusesAccess("no credit")
        self.answered += [prompt.text for prompt in prompts]
        return await super().answer(prompts)


@pytest.mark.parametrize("strategy", ["mean", "weighted", "majority"])
def test_weights_need_not_sum_to_1_and_several_labels_stay_apart(strategy):
    both = np.array([0.9, 0.8, 0.0], dtype=np.float32)
    none = np.array([0.1, 0.1, 0.1], dtype=np.float32)
    said = [
        Voice("one", 30.0, Answer(AnswerStatus.OK, ("card", "refund"), both, DistributionOrigin.MODEL)),
        Voice("two", 10.0, Answer(AnswerStatus.OK, (), none, DistributionOrigin.MODEL)),
        Voice("three", 1.0, REFUSED),
    ]
    answer = combine(MULTI, strategy, said)
    mean = {"mean": [0.5, 0.45, 0.05], "weighted": [0.7, 0.625, 0.025], "majority": [0.5, 0.5, 0.0]}[strategy]
    assert answer.distribution == pytest.approx(mean)
    wanted = {"mean": ("card",), "weighted": ("card", "refund"), "majority": ("card", "refund")}[strategy]
    assert answer.value == wanted and answer.origin is DistributionOrigin.ENSEMBLE
    assert "2 of 3 members" in answer.reason and "three: refused" in answer.reason
