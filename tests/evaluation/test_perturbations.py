from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.config.stress import PerturbationName
from tutelage.evaluation import Expectation, known_perturbations

_TEXT = "I can't send money to my wife in France, she needs 3.50 today."


def _apply(name: str, text: str = _TEXT, **how):
    return known_perturbations()[name].apply(text, **how)


def test_those_that_can_be_configured_are_those_there_are():
    assert list(get_args(PerturbationName)) == list(known_perturbations())


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=80), st.integers(0, 3))
def test_any_text_gives_a_pair_that_differs_or_none_and_the_same_one_again(text, seed):
    for one in known_perturbations().values():
        pair = one.apply(text, seed=seed, target="refund")
        assert pair == one.apply(text, seed=seed, target="refund")
        if pair is not None:
            assert pair.before != pair.after and pair.after.strip()
            assert pair.before == text or (
                one.family == "counterfactual" and pair.before.startswith(text.rstrip())
            )


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("lower-case", "i can't send money to my wife in france, she needs 3.50 today."),
        ("upper-case", "I CAN'T SEND MONEY TO MY WIFE IN FRANCE, SHE NEEDS 3.50 TODAY."),
        ("punctuation", "I can't send money to my wife in France she needs 3.50 today"),
        ("truncation", "I can't send money to my wife in France, she"),
        ("gender", "I can't send money to my husband in France, he needs 3.50 today."),
        ("negation", "I can send money to my wife in France, she needs 3.50 today."),
    ],
)
def test_what_is_no_matter_of_chance(name, after):
    assert _apply(name).after == after


def test_typos_come_at_their_rate_and_spare_first_letters_and_short_words():
    text = "transfer " * 100
    few, many = (_apply("typos", text, typo_rate=rate).after.split() for rate in (0.02, 0.3))
    assert 0 < sum(word != "transfer" for word in few) < sum(word != "transfer" for word in many)
    assert {word[0] for word in (*few, *many)} == {"t"}
    assert _apply("typos", "hi ok 12 345") is None
    assert _apply("typos", "send it now") is not None  # one error at least


def test_whitespace_changes_nothing_else():
    pair = _apply("whitespace")
    assert pair.after.split() == pair.before.split()


def test_padding_keeps_the_text_whole_and_stands_on_its_side():
    assert _apply("padding-before").after.endswith(f" {_TEXT}")
    assert _apply("padding-after").after.startswith(f"{_TEXT} ")


@pytest.mark.parametrize("style", ["ignore", "system", "transcript", "appeal"])
def test_injections_name_the_answer_that_they_want(style):
    name = f"injection-{style}"
    for seed in range(8):
        after = _apply(name, target="lost_card", seed=seed).after
        assert after.startswith(_TEXT) and "lost_card" in after[len(_TEXT) :]
    assert _apply(name) is None  # nothing to ask for


def test_a_word_of_the_axis_is_swapped_in_place_and_keeps_its_case():
    assert _apply("name", "My name is Emily and EMILY waits").after.startswith("My name is ")
    assert "Emily" not in _apply("name", "My name is Emily.").after
    country = _apply("nationality", "I live in France.").after
    assert country != "I live in France." and country.startswith("I live in ") and country[10].isupper()
    assert _apply("gender", "Her card. SHE has his. Ask her").after == "His card. HE has her. Ask him"
    assert _apply("nationality", "a polish cloth, not Turkish").before == "a polish cloth, not Turkish"


def test_without_a_word_of_the_axis_both_texts_get_one_of_either_side():
    for name, frame in (
        ("name", "My name is"),
        ("gender", "I am asking for my"),
        ("nationality", "I come from"),
    ):
        pair = _apply(name, "The parcel is late.")
        assert pair.before.startswith(f"The parcel is late. {frame} ")
        assert pair.after.startswith(f"The parcel is late. {frame} ")
        assert pair.before != pair.after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("I will pay", "I will not pay"),
        ("Don't charge me", "Do charge me"),
        ("I want a refund", "I don't want a refund"),
        ("Hi, I'd like a refund", "Hi, I would not like a refund"),
        ("My virtual card was just declined", "My virtual card was not declined"),
        ("It is still pending", "It is no longer pending"),
        ("my card has arrived", "my card has not arrived"),
        ("I have a question", "I don't have a question"),
        ("She needs a lamp", "She doesn't need a lamp"),
        ("I'm a new customer", "I'm not a new customer"),
        ("We ordered two cards", "We never ordered two cards"),
        ("Please set a timer", "Please do not set a timer"),
        ("Turn on the lights", "Do not turn on the lights"),
        ("Why is my card blocked?", "Why isn't my card blocked?"),
        ("How do I call a taxi?", "How do I not call a taxi?"),
        ("I never got it", "I got it"),
        ("I no longer need it", "I still need it"),
        # The same request with or without the word, or no sentence with it.
        ("Is my card there?", None),
        ("Can I order a card?", None),
        ("What is the email address of the shop?", None),
        ("I'm not sure what to do", None),
        ("Is it here or not?", None),
        ("find news but not sport", None),
        ("It has not come yet", None),
        ("It won't work anymore", None),
        ("There were some roses", None),
        ("The frog and the mouse had a contest", None),
        ("Refund please", None),
    ],
)
def test_negation(text, after):
    pair = _apply("negation", text)
    assert (pair and pair.after) == after


def test_what_ought_to_become_of_an_answer():
    known = known_perturbations()
    assert known["negation"].expected(open_values=False) is Expectation.DIFFERENT
    assert known["truncation"].expected(open_values=False) is Expectation.OPEN
    # A name that is swapped is another value of a record.
    assert known["name"].expected(open_values=False) is Expectation.SAME
    assert known["name"].expected(open_values=True) is Expectation.OPEN
    assert known["padding-after"].expected(open_values=True) is Expectation.SAME


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("I don't know them", {"Ion know them", "I dinnae ken them", "I dunno 'em", "I don't know 'em"}),
        ("They discuss it now", {"They discuss about it now only", "They discuss it noo"}),
        ("You know me", {"You ken me"}),
        ("My email address", {"My mail id", "Ma email address"}),
        ("What is the fee", None),
        ("The mobile app", None),
        ("One card and two", None),
    ],
)
def test_words_of_a_dialect_fit_their_place(text, after):
    pairs = [known_perturbations()["dialect"].apply(text, seed=seed) for seed in range(20)]
    if after is None:  # nothing but the closing
        assert all(pair.before.startswith(text) and pair.after.startswith(text) for pair in pairs)
    else:
        assert {pair.after for pair in pairs} <= after and {pair.before for pair in pairs} == {text}
