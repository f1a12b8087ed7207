"""A judge's verdict or score counts only where it is exactly one of those asked for."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from tutelage.config import JudgeConfig
from tutelage.records import AnswerStatus, dump_value, load_value
from tutelage.tasks import Example, Judge, Parsed, Prompting, RationaleMode, task_from_config, with_labels
from tutelage.tasks.agreement import kappa

VERDICTS = task_from_config(
    JudgeConfig(rubric="Does it keep the tone?", verdicts={"pass": "keeps it", "fail": ""}, reasons="before"),
    {},
)
SCALE = task_from_config(
    JudgeConfig(rubric="How clear is it?", scale=(1, 5), reasons="none", tolerance=1), {}
)
BELOW_ZERO = task_from_config(JudgeConfig(rubric="Tone?", scale=(-2, 2), reasons="after"), {})


def test_verdict_or_score_comes_back_with_its_reasons():
    said = VERDICTS.parse('{"reasons": "It is polite.", "verdict": "pass"}')
    assert said == Parsed(AnswerStatus.OK, "pass", rationale="It is polite.")
    assert SCALE.parse('```json\n{"score": 4}\n```') == Parsed(AnswerStatus.OK, "4")
    assert BELOW_ZERO.parse('{"score": -2, "reasons": ""}') == Parsed(AnswerStatus.OK, "-2")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ('{"score": 6}', "out_of_set"), ('{"score": 0}', "out_of_set"), ('{"score": 999999}', "out_of_set"),
        ('{"score": "4"}', "unparseable"), ('{"score": 4.0}', "unparseable"), ('{"score": 4.5}', "unparseable"),
        ('{"score": true}', "unparseable"), ('{"score": null}', "unparseable"), ('{"score": [4]}', "unparseable"),
        ('{"score": 4, "score": 5}', "unparseable"), ('{"score": NaN}', "unparseable"), ('{"Score": 4}', "unparseable"),
        ('{"score": 4, "reasons": "x"}', "unparseable"), ("4", "unparseable"), ('I think {"score": 4}', "unparseable"),
        ("", "unparseable"), ("4/5", "unparseable"), ("I cannot judge this.", "refused"),
        ('{"score": ' + "9" * 5000 + "}", "unparseable"),
    ],
)  # fmt: skip
def test_nothing_else_is_taken_for_a_score(raw, status):
    parsed = SCALE.parse(raw)
    assert (str(parsed.status), parsed.value) == (status, None)
    assert 0 < len(parsed.reason) < 500


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ('{"reasons": "x", "verdict": "Pass"}', "out_of_set"), ('{"verdict": "pass"}', "unparseable"), ("pass", "unparseable"),
        ('{"reasons": 3, "verdict": "pass"}', "unparseable"), ('{"reasons": null, "verdict": "pass"}', "unparseable"),
        ('{"reasons": "x", "verdict": 1}', "unparseable"), ('{"reasons": "x", "verdict": "pass", "y": 1}', "unparseable"),
    ],
)  # fmt: skip
def test_nothing_else_is_taken_for_a_verdict(raw, status):
    parsed = VERDICTS.parse(raw)
    assert (str(parsed.status), parsed.value) == (status, None)


_noise = st.text(max_size=60) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.floats()
    | st.sampled_from(["pass", "fail", "4", "\ud800"]),
    lambda below: (
        st.dictionaries(st.sampled_from(["score", "verdict", "reasons", "x"]), below, max_size=3)
        | st.lists(below, max_size=2)
    ),
    max_leaves=4,
).map(json.dumps)


@settings(max_examples=300, deadline=None)
@given(raw=_noise)
def test_whatever_the_text_it_is_one_of_the_set_or_quarantined(raw):
    for task in (VERDICTS, SCALE, BELOW_ZERO):
        parsed = task.parse(raw)
        assert parsed.value in task.labels if parsed.status is AnswerStatus.OK else parsed.value is None
        assert task.parse(raw.strip()) == parsed
        parsed.rationale.encode("utf-8")
        if parsed.status is AnswerStatus.OK:
            assert _fits(task, raw)
        elif _fits(task, raw):
            # JSON Schema takes 4.0 for a whole number; here nothing but digits is one.
            assert isinstance(json.loads(raw)["score"], float)


def _fits(task: Judge, raw: str) -> bool:
    try:
        return jsonschema.Draft202012Validator(task.json_schema()).is_valid(json.loads(raw))
    except ValueError:
        return False


@pytest.mark.parametrize("task", [VERDICTS, SCALE, BELOW_ZERO])
def test_every_label_comes_back_from_the_answer_shown_to_teachers(task):
    for label in task.labels:
        shape = {task.answer_key: json.loads(task.label_text(label))}
        raw = json.dumps(shape | ({} if task is SCALE else {"reasons": "so"}))
        assert task.parse(raw).value == label
        assert task.admit(load_value(dump_value(label))).value == label
        assert task.read_cell(f" {label} ", "|") == label
        assert task.decide(task.encode([label])) == [label]


def test_the_prompt_holds_rubric_and_choices_and_asks_for_reasons_where_they_stand():
    system = VERDICTS.render("x")[0]["content"]
    for part in (
        "Does it keep the tone?",
        "- pass: keeps it\n",
        "- fail",
        '{"reasons": "...", "verdict": "..."}',
        "before",
    ):
        assert part in system
    assert list(VERDICTS.json_schema()["properties"]) == ["reasons", "verdict"]
    assert list(BELOW_ZERO.json_schema()["properties"]) == ["score", "reasons"]
    assert "reasons" not in SCALE.render("x")[0]["content"]
    assert "from 1 (lowest) to 5 (highest)" in SCALE.render("x")[0]["content"]


def test_its_own_reasons_hold_where_prompting_asks_for_none():
    asked = SCALE.with_prompting(Prompting(rationale=RationaleMode.AFTER))
    assert list(asked.json_schema()["properties"]) == ["score", "reasons"]
    assert list(VERDICTS.with_prompting(Prompting()).json_schema()["properties"]) == ["reasons", "verdict"]
    shown = SCALE.with_prompting(Prompting((Example("a text", "4"),))).render("x")
    assert shown[1:3] == [
        {"role": "user", "content": "a text"},
        {"role": "assistant", "content": '{"score": 4}'},
    ]


def test_scores_agree_within_tolerance():
    assert SCALE.compare("4", "5").agree and not SCALE.compare("3", "5").agree
    assert SCALE.compare("3", "5").score == 0.5 and SCALE.compare("1", "5").score == 0.0
    assert BELOW_ZERO.compare("-2", "-1").agree is False
    assert VERDICTS.compare("pass", "pass").agree and VERDICTS.compare("pass", "fail").score == 0.0


def test_metrics_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    gold = [str(score) for score in generator.integers(1, 6, 60)]
    said = [
        str(min(5, max(1, int(score) + int(step))))
        for score, step in zip(gold, generator.integers(-1, 2, 60), strict=True)
    ]
    metrics = SCALE.score(said, gold)
    assert metrics["kappa"] == pytest.approx(cohen_kappa_score(said, gold, labels=list(SCALE.labels)))
    assert metrics["quadratic_kappa"] == pytest.approx(
        cohen_kappa_score(said, gold, labels=list(SCALE.labels), weights="quadratic")
    )
    assert metrics["accuracy"] == 1.0 and metrics["exact"] < 1.0
    assert metrics["mean_distance"] == pytest.approx(
        np.mean([abs(int(a) - int(b)) for a, b in zip(said, gold, strict=True)])
    )


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=15),
    weighted=st.booleans(),
)
def test_kappa_is_scikit_learns(pairs, weighted):
    one, other = zip(*pairs, strict=True)
    ours = kappa(one, other, 4, quadratic=weighted)
    if len({*one, *other}) == 1:
        assert np.isnan(ours)
        return
    theirs = cohen_kappa_score(one, other, labels=[0, 1, 2, 3], weights="quadratic" if weighted else None)
    assert ours == pytest.approx(theirs)


def test_no_answer_is_wrong_and_of_no_answers_kappa_is_left_out():
    metrics = SCALE.score([None, "4"], ["4", "4"])
    assert metrics["accuracy"] == metrics["exact"] == metrics["mean_score"] == 0.5
    assert "kappa" not in metrics and metrics["mean_distance"] == 0.0
    assert "mean_distance" not in SCALE.score([None], ["4"]) and SCALE.score([], []) == {}


def test_votes_are_shares_of_the_labels():
    value, shares = SCALE.vote(["4", "2", "4"])
    assert value == "4" and shares == pytest.approx([0, 1 / 3, 0, 2 / 3, 0])
    assert SCALE.vote(["5", "2"])[0] == "2"


@pytest.mark.parametrize(
    ("cell", "kind"), [("6", "out_of_set"), ("four", "out_of_set"), ("4.0", "out_of_set"), ("", "empty"), (None, "empty"),
                       (4.0, "not_text"), (True, "not_text"), (["4"], "not_text")]
)  # fmt: skip
def test_a_cell_without_a_score_says_what_is_wrong_with_it(cell, kind):
    with pytest.raises(ValueError, match=r"\w") as caught:
        SCALE.read_cell(cell, "|")
    assert caught.value.kind == kind


def test_other_teachers_may_give_a_score_as_a_number():
    assert SCALE.admit(4).value == SCALE.admit("4").value == "4" and SCALE.read_cell(4, "|") == "4"
    for wrong, status in (
        (True, "unparseable"),
        (4.0, "unparseable"),
        (None, "unparseable"),
        ("9", "out_of_set"),
    ):
        assert str(SCALE.admit(wrong).status) == status
    assert VERDICTS.admit(1).status is AnswerStatus.UNPARSEABLE


def test_label_students_work_on_it_and_its_version_holds_what_shapes_answers():
    assert with_labels(SCALE) is SCALE
    assert SCALE.labels == ("1", "2", "3", "4", "5") and BELOW_ZERO.labels[0] == "-2"
    others = [
        Judge(SCALE.labels, "Other?", True, reasons=RationaleMode.NONE), SCALE.with_prompting(Prompting(), "Judge."),
        SCALE.with_prompting(Prompting(rationale=RationaleMode.AFTER)), BELOW_ZERO,
    ]  # fmt: skip
    assert len({SCALE.version, *(task.version for task in others)}) == 5
