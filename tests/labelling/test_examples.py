"""Which examples a prompted teacher is shown."""

from __future__ import annotations

from collections import Counter

import pytest

from tutelage.errors import ConfigError
from tutelage.labelling import choose_examples
from tutelage.labelling.examples import LONGEST_EXAMPLE
from tutelage.records import Gold, Prompt

PART = [Gold(Prompt(str(n), f"message {n}"), "abc"[n % 3 if n < 30 else 0]) for n in range(60)]


def test_values_take_turns_so_that_a_rare_one_is_shown_before_a_common_one_is_shown_twice():
    rare = [
        *(Gold(Prompt(str(n), f"common {n}"), "common") for n in range(50)),
        Gold(Prompt("r", "odd"), "rare"),
    ]
    chosen = choose_examples(rare, 2)
    assert {example.value for example in chosen} == {"common", "rare"}
    assert Counter(example.value for example in choose_examples(PART, 9)) == {"a": 3, "b": 3, "c": 3}


def test_no_example_is_shown_twice_and_all_come_from_the_part():
    chosen = choose_examples(PART, len(PART))
    assert {(example.text, example.value) for example in chosen} == {(g.prompt.text, g.value) for g in PART}


def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_the_file():
    assert choose_examples(PART, 5, seed=1) == choose_examples(list(reversed(PART)), 5, seed=1)
    assert choose_examples(PART, 5, seed=1) != choose_examples(PART, 5, seed=2)


def test_too_few_examples_are_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"prompting\.examples is 61, and gold's training part has 60"):
        choose_examples(PART, 61)
    assert choose_examples([], 0) == ()


def test_what_is_too_long_to_show_is_not_shown():
    part = [Gold(Prompt("1", "x" * (LONGEST_EXAMPLE + 1)), "a"), Gold(Prompt("2", "short"), "b")]
    assert [example.text for example in choose_examples(part, 1)] == ["short"]
    with pytest.raises(ConfigError):
        choose_examples(part, 2)
