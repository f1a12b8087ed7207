"""Names by what a vocabulary lacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data.redaction.rare_words import Vocabulary

KNOWN = Vocabulary(frozenset("Smith the novel Berlin GOOGLE of in yesterday".split()))


@pytest.mark.parametrize(
    ("text", "rare"),
    [
        ("Yefremova", "Yefremova"),
        ("Faina Yefremova's", "Faina Yefremova"),
        ("Yuito Hirai of", "Yuito Hirai"),
        ("the Šušulić novel", "Šušulić"),
        ("Dreux Joly\nPaxata\nPSC", "Dreux Joly"),
        ("Berlin", None),
        ("Google", None),  # known in other letters
        ("The", None),
        ("NASDAQ", None),  # all in capitals: no way to write a name
        ("Areavi Group", None),
        ("Adamska Street", None),
        ("areavi", None),
        ("Aa Bb Cc Dd Eexyz", None),  # longer than names are
        ("\nPaxata", None),
        ("12", None),
        ("", None),
    ],
)
def test_what_may_be_a_name_of_what_is_taken_for_something_else(text, rare):
    span = KNOWN.rare_name(text, 0, len(text))
    assert (None if span is None else text[slice(*span)]) == rare


@pytest.mark.parametrize(
    ("text", "part", "whole"),
    [
        ("Mashuu Smith said", "Smith", "Mashuu Smith"),
        ("Smith Mashuu's novel", "Smith", "Smith Mashuu"),
        ("Yesterday Smith said", "Smith", "Smith"),
        ("Mashuu, Smith", "Smith", "Smith"),
        ("Mashuu\nSmith\nPaxata", "Smith", "Smith"),
        ("Mashuu  Smith", "Smith", "Smith"),
        ("Smith", "Smith", "Smith"),
    ],
)
def test_rare_words_beside_a_name_belong_to_it(text, part, whole):
    at = text.index(part)
    assert text[slice(*KNOWN.whole_name(text, at, at + len(part)))] == whole


@given(st.text(max_size=40), st.data())
def test_a_span_stays_inside_and_holds_what_it_was_given(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    found = KNOWN.rare_name(text, start, end)
    assert found is None or start <= found[0] < found[1] <= end
    whole = KNOWN.whole_name(text, start, end)
    assert 0 <= whole[0] <= start and end <= whole[1] <= len(text)
