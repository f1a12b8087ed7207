"""Examples and reasons: what a teacher is shown, and what comes back."""

from __future__ import annotations

import json

import pytest

from tutelage.records import AnswerStatus, Fields
from tutelage.storage import hash_json
from tutelage.tasks import (
    Classify,
    Example,
    Extract,
    Generate,
    Judge,
    LabelTask,
    Parsed,
    Prompting,
    RationaleMode,
    Task,
    _asking,
)  # fmt: skip

LABELS = ("card", "refund")
ONE = Classify(LABELS)
SEVERAL = Classify(LABELS, multi_label=True)
EXAMPLES = (Example("my card", "card"), Example('{"label": "x"}\nmoney back', "refund"))
BEFORE, AFTER = RationaleMode.BEFORE, RationaleMode.AFTER


def test_examples_are_turns_between_what_never_changes_and_the_message():
    task = ONE.with_prompting(Prompting(EXAMPLES))
    turns = task.render("x")
    assert turns[0] == ONE.render("x")[0]
    assert turns[1:] == [
        {"role": "user", "content": "my card"},
        {"role": "assistant", "content": '{"label": "card"}'},
        {"role": "user", "content": '{"label": "x"}\nmoney back'},
        {"role": "assistant", "content": '{"label": "refund"}'},
        {"role": "user", "content": "x"},
    ]
    assert turns[:-1] == task.render("y")[:-1]
    several = SEVERAL.with_prompting(Prompting((Example("both", ("card", "refund")),)))
    assert several.render("x")[2]["content"] == '{"labels": ["card", "refund"]}'


def test_with_reasons_examples_are_quoted_since_turns_would_teach_to_give_none():
    system, user = ONE.with_prompting(Prompting(EXAMPLES, BEFORE)).render("x")
    assert user == {"role": "user", "content": "x"}
    assert f"Message: {json.dumps(EXAMPLES[1].text)}\n" in system["content"]
    assert system["content"].startswith(ONE.with_prompting(Prompting((), BEFORE)).render("x")[0]["content"])


@pytest.mark.parametrize(
    ("mode", "keys"), [(BEFORE, ["rationale", "label"]), (AFTER, ["label", "rationale"])]
)
def test_reasons_stand_where_they_are_asked_for(mode, keys):
    task = ONE.with_prompting(Prompting(rationale=mode))
    assert list(task.json_schema()["properties"]) == task.json_schema()["required"] == keys
    assert "{" + ", ".join(f'"{key}": "..."' for key in keys) + "}" in task.render("x")[0]["content"]
    raw = json.dumps({"label": "card", "rationale": "It names a card."})
    assert task.parse(raw) == Parsed(AnswerStatus.OK, "card", rationale="It names a card.")


@pytest.mark.parametrize(
    "raw",
    ["card", '{"label": "card"}', '{"label": "card", "rationale": null}', '{"label": "card", "rationale": ["x"]}',
     '{"label": "card", "rationale": "", "x": 1}', '{"rationale": "a", "label": "card", "rationale": "b"}'],
)  # fmt: skip
def test_an_answer_without_the_reasons_asked_for_is_none(raw):
    assert ONE.with_prompting(Prompting(rationale=BEFORE)).parse(raw).status is AnswerStatus.UNPARSEABLE


def test_reasons_nobody_asked_for_are_none_of_an_answer():
    assert ONE.parse('{"label": "card", "rationale": "x"}').status is AnswerStatus.UNPARSEABLE


def test_half_a_surrogate_in_reasons_does_not_cost_the_answer():
    raw = '{"rationale": "a \\ud800", "label": "card"}'
    parsed = ONE.with_prompting(Prompting(rationale=BEFORE)).parse(raw)
    assert parsed.value == "card" and parsed.rationale.encode("utf-8")


def test_only_other_prompting_changes_the_version():
    assert ONE.with_prompting(Prompting()).version == ONE.version
    versions = {
        ONE.with_prompting(prompting).version
        for prompting in (
            Prompting(), Prompting(EXAMPLES), Prompting(EXAMPLES[::-1]), Prompting(EXAMPLES[:1]),
            Prompting(rationale=BEFORE), Prompting(rationale=AFTER), Prompting(EXAMPLES, BEFORE),
        )
    }  # fmt: skip
    assert len(versions) == 7
    assert ONE.with_prompting(Prompting(), "Sort.") == Classify(LABELS, "Sort.")


def test_classify_is_a_task_of_labels():
    assert isinstance(ONE, Task) and isinstance(ONE, LabelTask)
    assert (ONE.kind, ONE.answer_key, SEVERAL.answer_key) == ("classify", "label", "labels")
    assert ONE.label_text('a "b"') == '"a \\"b\\""'


def test_classify_compares_votes_and_scores():
    assert ONE.compare("card", "card").agree and ONE.compare("card", "refund").score == 0.0
    partly = SEVERAL.compare(("card",), ("card", "refund"))
    assert not partly.agree and partly.score == 0.5
    assert SEVERAL.compare((), ()).agree and SEVERAL.compare((), ()).score == 1.0
    value, shares = ONE.vote(["refund", "card", "refund"])
    assert value == "refund" and shares == pytest.approx([1 / 3, 2 / 3])
    metrics = ONE.score(["card", "card", None, "refund"], ["card", "refund", "card", "refund"])
    assert metrics["accuracy"] == 0.5
    assert metrics["macro_f1"] == pytest.approx((2 * 1 / (2 + 2) + 2 * 1 / (2 + 1)) / 2)
    assert Classify(("a", "b", "c")).score(["b", "c"], ["b", "a"])["macro_f1"] == 0.5  # gold has no c
    assert SEVERAL.score([("card",)], [("card", "refund")])["mean_score"] == 0.5
    assert ONE.score([], []) == {}


RECORD = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("task", "value", "shown"),
    [
        (Extract(RECORD), Fields({"a": 1}), 'without its rationale: {"record": {"a": 1}}'),
        (Generate(), "two\nlines", 'without its rationale: {"text": "two\\nlines"}'),
        (Judge(("no", "yes"), "Polite?"), "yes", 'without its reasons: {"verdict": "yes"}'),
        (ONE, "card", 'without its rationale: {"label": "card"}'),
    ],
)
def test_an_example_has_the_shape_of_the_answer_asked_for(task, value, shown):
    system, _ = task.with_prompting(Prompting((Example("m", value),), BEFORE)).render("x")
    assert system["content"].endswith(f'Message: "m"\nRight answer, {shown}')


_ENORMOUS = {
    "fences": "```" * 1_000_000,
    "white space": "I" + " " * 1_000_000 + "x",
    "apologies": "I am " + "so sorry but " * 100_000,
    "marks": "sorry" + "!" * 1_000_000,
    "digits": '{"score": ' + "9" * 1_000_000 + "}",
    "deep": '{"a": ' + "[" * 100_000,
    "many keys": json.dumps({f"k{n}": 1 for n in range(50_000)}),
    "long list": '{"a": [' + "1," * 300_000 + "1]}",
}


@pytest.mark.parametrize("name", _ENORMOUS)
def test_the_enormous_is_quarantined_with_a_short_reason_whatever_the_task(name):
    tasks = (Extract(RECORD), Judge(("1", "2"), "?", scored=True), Generate(max_characters=1000), ONE)
    for task in (*tasks, *(task.with_prompting(Prompting(rationale=AFTER)) for task in tasks)):
        parsed = task.parse(_ENORMOUS[name])
        assert parsed.value is None and 0 < len(parsed.reason) < 500


@pytest.mark.parametrize("mode", list(RationaleMode))
@pytest.mark.parametrize(
    ("task", "value"),
    [
        (ONE, "card"),
        (SEVERAL, ("card", "refund")),
        (SEVERAL, ()),
        (Judge(("1", "2"), "Kind?", scored=True, reasons=RationaleMode.NONE), "2"),
        (Judge(("pass", "fail"), "Kind?", reasons=RationaleMode.NONE), "fail"),
        (
            Extract({"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}),
            Fields({"a": 1.5}),
        ),
        (Generate(), 'a "b"\nö'),
    ],
)
def test_an_answers_text_is_read_as_its_value(task, value, mode):
    task = task.with_prompting(Prompting(rationale=mode))
    parsed = task.parse(task.answer_text(value, "It says so."))
    assert (parsed.status, parsed.value) == (AnswerStatus.OK, value)
    assert parsed.rationale == ("" if mode is RationaleMode.NONE else "It says so.")


RECORD = {"type": "object", "properties": {"order": {"type": "string"}, "days": {"type": "integer"}}}
WORDED = {  # a task, and an answer to it
    "classify": (Classify(LABELS, descriptions={"card": "Of a card."}, out_of_scope="refund"), "card"),
    "several": (SEVERAL, ("card", "refund")),
    "verdict": (Judge(("yes", "no"), "Is it polite?", descriptions={"no": "Rude."}), "yes"),
    "score": (Judge(("1", "2"), "How polite?", scored=True, reasons=RationaleMode.NONE), "2"),
    "extract": (Extract(RECORD), Fields({"order": "7", "days": 1})),
    "generate": (Generate(max_characters=1000), "Yes."),
}
WORDS = {
    "classify": "f0f9e8c037a46cc6c4f55524cf34c5a8",
    "several": "bd3a291731e7910ace6c9c97fec5bfd7",
    "verdict": "dc712ff5fbd97bbdeff2c7ce01ea2c4c",
    "score": "b2987412028b1bfd07bd34bc2698ba87",
    "extract": "406da3cdff3d56cafb6851096923ed0c",
    "generate": "b3d2bad1856c7ec7070f2f42a192c198",
}


def test_whoever_changes_the_words_of_a_prompt_raises_their_number(monkeypatch):
    """Answers on record are kept under a task's version, which knows the wording by `_asking.WORDING` alone."""
    found = {}
    for name, (task, value) in WORDED.items():
        shown = [
            [asked.render("x"), asked.json_schema()]
            for mode in RationaleMode
            for examples in ((), (Example("y", value),))
            for asked in [task.with_prompting(Prompting(examples, mode))]
        ]
        found[name] = hash_json(shown)
    assert (_asking.WORDING, found) == (1, WORDS)
    before = {name: task.version for name, (task, _) in WORDED.items()}
    monkeypatch.setattr(_asking, "WORDING", 2)
    assert all(task.version != before[name] for name, (task, _) in WORDED.items())
