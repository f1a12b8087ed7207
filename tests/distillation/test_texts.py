from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tutelage.distillation import TextSignals, best_of, chosen_answers, humans_alone, read_texts
from tutelage.distillation.texts import hold_texts_back
from tutelage.records import Fields
from tutelage.tasks import Classify, Generate

SIGNALS = TextSignals(
    ("a", "b", "c", "d"), ("x", "y", None, "z"), ("since x", "since y", "", ""), (None, "y2", "w", "z")
)


def test_a_human_answer_wins_and_reasons_for_another_are_dropped():
    assert SIGNALS.targets == ("x", "y2", "w", "z")
    assert SIGNALS.reasons == ("since x", "", "", "")
    assert SIGNALS.with_reasons().texts == ("a",)
    agreeing = TextSignals(("a",), ("x",), ("since x",), ("x",))
    assert agreeing.reasons == ("since x",)


def test_controls_learn_from_humans_or_from_answers_alone():
    humans = humans_alone(SIGNALS)
    assert (humans.texts, humans.targets, any(humans.reasons)) == (("b", "c", "d"), ("y2", "w", "z"), False)
    bare = SIGNALS.without_rationales()
    assert bare.targets == SIGNALS.targets and not any(bare.reasons)


def test_what_teaches_is_read_from_the_transfer_set():
    rows = [
        {"text": "a", "status": "ok", "value": '"x"', "gold": None, "rationale": "why"},
        {"text": "b", "status": "unparseable", "value": None, "gold": None, "rationale": None},
        {"text": "c", "status": "refused", "value": None, "gold": '{"a": 1}', "rationale": "no"},
        {"text": "d", "status": "ok", "value": '"x"', "gold": '"y"', "rationale": None},
    ]
    assert read_texts(pa.Table.from_pylist(rows)) == TextSignals(
        ("a", "c", "d"), ("x", None, "x"), ("why", "", ""), (None, Fields({"a": 1}), "y")
    )


def test_refusals_teach_where_they_are_given_and_a_human_answer_goes_before_them():
    refused = {"status": "refused", "value": None, "rationale": None}
    rows = [
        {"text": "a", "hash": "1", "gold": None, **refused},
        {"text": "b", "hash": "2", "gold": '"yes"', **refused},
        {"text": "c", "hash": "3", "gold": None, **refused, "status": "unparseable"},
    ]
    table = pa.Table.from_pylist(rows)
    found = read_texts(table, {"1": "I can't help with that.", "2": "I won't do that."})
    assert (found.texts, found.targets) == (("a", "b"), ("I can't help with that.", "yes"))
    assert read_texts(table).texts == ("b",)


def test_some_are_held_back_at_random_and_none_is_lost():
    learning, validation = hold_texts_back(SIGNALS, 0.25, 3)
    assert (len(learning), len(validation)) == (3, 1)
    assert sorted(learning.texts + validation.texts) == list("abcd")
    assert hold_texts_back(SIGNALS, 0.25, 3)[1] == validation


def test_the_best_answer_is_the_closest_to_the_humans_else_to_the_others():
    task = Generate()
    samples = ["the parcel is late", "the parcel is lost", "the parcel is late now", "no idea"]
    assert best_of(task, samples) in samples[:3]
    assert best_of(task, samples, "the parcel is lost, sorry") == samples[1]
    labels = Classify(("a", "b"))
    assert best_of(labels, ["a", "b", "b"]) == "b"
    assert best_of(labels, ["a", "b", "b"], "a") == "a"
    assert best_of(Classify(("a", "b", "c")), ["a", "b", "b"], "c") == "b", "none comes closer"
    with pytest.raises(ValueError, match="no answer"):
        best_of(task, [])


def test_the_best_of_several_is_learned_and_the_human_only_chooses():
    signals = chosen_answers(Classify(("a", "b")), ["1", "2", "3"], [["a", "b", "b"], [], ["a"]], {0: "a"})
    assert signals == TextSignals(("1", "3"), ("a", "a"), ("", ""), (None, None))


def test_all_of_it_is_hashed():
    hashed = [SIGNALS.take(np.array([0, 1])).to_json(), SIGNALS.take(np.array([0, 2])).to_json()]
    assert hashed[0] != hashed[1]
    assert SIGNALS.without_rationales().to_json() != SIGNALS.to_json()
