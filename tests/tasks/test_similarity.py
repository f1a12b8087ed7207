"""Similarity decides whether two texts agree, so its figures are those that others publish."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.tasks.similarity import chrf, longest_common, rouge_l

_texts = st.text(alphabet="abc dé.🙂\n", max_size=25)


@settings(max_examples=300, deadline=None)
@given(text=_texts, reference=_texts)
def test_chrf_is_sacrebleus(text, reference):
    from sacrebleu.metrics import CHRF

    if not (text.split() or reference.split()):
        assert chrf(text, reference) == 1.0
        return
    assert chrf(text, reference) == pytest.approx(
        CHRF().sentence_score(text, [reference]).score / 100, abs=1e-9
    )


def test_chrf_of_sentences_is_sacrebleus():
    from sacrebleu.metrics import CHRF

    pairs = [
        ("We will refund the charge within five days.", "We refund your charge in 5 days."),
        ("Call the customer back", "Send the customer a new card"),
        ("same", "same"),
        ("a", "a much longer reference than that"),
    ]
    for text, reference in pairs:
        assert chrf(text, reference) == pytest.approx(CHRF().sentence_score(text, [reference]).score / 100)


@settings(max_examples=200, deadline=None)
@given(one=st.lists(st.integers(0, 3), max_size=9), other=st.lists(st.integers(0, 3), max_size=9))
def test_the_longest_common_subsequence_is_that_of_the_table(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    assert longest_common(one, other) == table[-1][-1]


def test_rouge_l_is_the_papers():
    # Lin 2004, section 3: S1 "police killed the gunman", S2 and S3 against it at beta 1.
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == 3 / 4
    assert rouge_l("the gunman kill police", reference) == 2 / 4
    assert rouge_l("Police killed, the GUNMAN!", reference) == 1.0
    assert rouge_l("", reference) == 0.0
    assert rouge_l("!", "?") == 1.0


@settings(max_examples=100, deadline=None)
@given(text=_texts, reference=_texts)
def test_similarities_lie_between_0_and_1(text, reference):
    for measure in (chrf, rouge_l):
        assert 0.0 <= measure(text, reference) <= 1.0
        assert measure(text, text) == 1.0
