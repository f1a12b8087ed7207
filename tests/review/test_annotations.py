"""Independent answers, disagreements, and what settles them."""

from __future__ import annotations

import operator
import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.records import Fields
from tutelage.review.annotations import Annotation, AnnotationStore, State, standing

P = "0" * 32


def said(*answers, settled=()):
    return [Annotation(P, name, value) for name, value in answers] + [
        Annotation(P, name, value, settles=True) for name, value in settled
    ]


def stands(*answers, settled=(), wanted=2, agree=operator.eq):
    return standing(said(*answers, settled=settled), wanted, agree)


def test_one_answer_of_two_leaves_a_prompt_open():
    assert stands().state is State.OPEN
    assert stands(("a", "x")).state is State.OPEN
    assert stands(("a", "x"), ("b", None)).state is State.OPEN, "a skip is no answer"
    assert stands(("a", "x"), wanted=1).value == "x"


def test_agreement_settles_and_disagreement_does_not():
    assert stands(("a", "x"), ("b", "x")).value == "x"
    split = stands(("a", "x"), ("b", "y"))
    assert (split.state, split.value, split.adjudicated) == (State.DISPUTED, None, False)
    assert stands(("a", "x"), ("b", "y"), ("c", "y"), wanted=3).value == "y"
    assert stands(("a", "x"), ("b", "y"), ("c", "z"), wanted=3).state is State.DISPUTED
    assert stands(("a", "x"), ("b", "y"), ("c", "x"), ("d", "y"), wanted=4).state is State.DISPUTED


def test_somebody_who_has_not_answered_settles_alone_and_the_two_only_together():
    answers = (("a", "x"), ("b", "y"))
    third = stands(*answers, settled=[("c", "z")])
    assert (third.value, third.adjudicators, third.adjudicated) == ("z", ("c",), True)
    assert stands(*answers, settled=[("a", "y")]).state is State.DISPUTED
    assert stands(*answers, settled=[("a", "y"), ("b", "x")]).state is State.DISPUTED
    both = stands(*answers, settled=[("a", "y"), ("b", "y")])
    assert (both.value, set(both.adjudicators)) == ("y", {"a", "b"})
    assert stands(*answers, settled=[("a", "y"), ("b", "y"), ("c", "x")]).value == "x"
    assert stands(*answers, settled=[("c", None)]).state is State.DISPUTED, "a skip settles nothing"


def test_what_agrees_follows_the_task():
    close = lambda one, other: abs(len(one) - len(other)) <= 1  # noqa: E731
    assert stands(("a", "xx"), ("b", "xxx"), agree=close).value == "xx", "the first stands"


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([None, "x", "y"])), max_size=6),
    st.integers(1, 4),
)
def test_a_value_is_one_that_was_given(answers, wanted):
    latest = list(dict(answers).items())
    found = stands(*latest, wanted=wanted)
    assert (found.value is not None) == (found.state is State.SETTLED)
    given_ = [value for _, value in latest if value is not None]
    if found.state is State.SETTLED:
        assert 2 * given_.count(found.value) > len(given_) >= wanted
    elif found.state is State.OPEN:
        assert len(given_) < wanted


def test_the_last_answer_stands_and_nothing_is_deleted(tmp_path):
    path = tmp_path / "gold" / "annotations.sqlite"
    store = AnnotationStore(path)
    store.add(Annotation(P, "Ada", "x", "first thought"))
    store.add(Annotation(P, "Ada", ("x", "y"), "both"))
    store.add(Annotation(P, "Ada", Fields({"n": 1.5}), settles=True))
    assert [(item.value, item.settles) for item in store.standing()] == [
        (("x", "y"), False),
        (Fields({"n": 1.5}), True),
    ]
    assert store.withdraw_last("Ada", [P]) == P
    assert store.withdraw_last("Ada", ["other"]) is None
    assert store.last_of("Ada", P).value == Fields({"n": 1.5}), "what was taken back is still known"
    store.close()
    rows = sqlite3.connect(path).execute("SELECT COUNT(*), COUNT(withdrawn) FROM annotations").fetchone()
    assert rows == (3, 2)


def test_skips_come_back_and_names_become_pseudonyms(tmp_path):
    store = AnnotationStore(tmp_path / "a.sqlite")
    for name in ("Grace", "Ada"):
        store.add(Annotation(P, name, None))
    store.add(Annotation("1" * 32, "Ada", "x"))
    assert store.withdraw_skips("Ada") == 1
    assert [item.annotator for item in store.standing()] == ["Grace", "Ada"]
    assert store.pseudonyms() == {"Grace": "annotator-1", "Ada": "annotator-2"}
    store.close()


def test_two_processes_write_to_one_file(tmp_path):
    path = tmp_path / "a.sqlite"
    stores = [AnnotationStore(path), AnnotationStore(path)]

    def write(store, name):
        for n in range(20):
            store.add(Annotation(f"{n:032x}", name, "x"))

    threads = [threading.Thread(target=write, args=pair) for pair in zip(stores, ("a", "b"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].standing()) == 40
    for store in stores:
        store.close()


def test_a_file_that_is_none_is_told(tmp_path):
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="confirmed annotations"):
        AnnotationStore(path)
