from __future__ import annotations

import pytest

from tutelage.data import exclude_gold
from tutelage.data.leakage import LeakKind, find_leaks
from tutelage.records import Prompt

GOLD = [
    Prompt("g0", "My top-up failed, what's wrong?"),
    Prompt("g1", "please send the invoice to my accountant by friday"),
    Prompt("g2", "lost card"),
]


def _kinds(leaks):
    return [(leak.kind, leak.gold, leak.part) for leak in leaks]


def test_each_way_of_being_known_is_told_once_under_the_first_kind_that_fits():
    parts = {
        "traffic": [Prompt("t0", "my topup failed whats wrong"), Prompt("t1", "an unrelated question")],
        "training": [
            Prompt("t2", "LOST  card"),
            Prompt("t3", "please send the invoice to my accountant by fridays"),
        ],
    }
    leaks = find_leaks(GOLD, parts, cleaned_at=1.0)
    assert _kinds(leaks) == [
        (LeakKind.PUNCTUATION, "g0", "traffic"),
        (LeakKind.SAME, "g2", "training"),
        (LeakKind.NEAR, "g1", "training"),
    ]
    assert 0.85 <= leaks[2].similarity < 1


def test_gold_in_the_instruction_is_found_whatever_its_punctuation():
    shown = (
        'Classify. Example: "Please send the invoice, to my accountant by Friday!" is billing. lost card: no.'
    )
    assert _kinds(find_leaks(GOLD, {}, shown=shown)) == [(LeakKind.IN_PROMPT, "g1", "the teacher's prompt")]


def test_a_text_inside_a_word_or_of_few_words_is_no_leak():
    assert find_leaks([Prompt("g", "art of the deal")], {}, shown="the smart of the dealers") == []
    assert find_leaks([Prompt("g", "lost card")], {}, shown="lost card") == []


@pytest.mark.parametrize(
    "text", ["my topup failed whats wrong", "Lost card!", "MY TOP UP FAILED WHATS WRONG"]
)
def test_what_cleaning_sets_aside_is_none_of_it_left(text):
    kept, rejected = exclude_gold([Prompt("t", text)], GOLD, 0.85)
    assert kept == [] and rejected[0].reason == "near_duplicate_of_gold"
    assert find_leaks(GOLD, {"traffic": kept}, cleaned_at=0.85) == []


def test_signs_that_may_mean_something_are_no_punctuation():
    gold = [Prompt("g", "3-5"), Prompt("h", "C++")]
    kept, _ = exclude_gold([Prompt("t", "35"), Prompt("u", "C")], gold, 0.85)
    assert len(kept) == 2


def test_a_threshold_of_one_sets_aside_the_same_alone():
    kept, _ = exclude_gold([Prompt("t", "Lost card!")], GOLD, 1.0)
    assert len(kept) == 1


def test_empty_parts_and_texts_without_letters():
    assert (
        find_leaks([Prompt("g", "?!")], {"traffic": [Prompt("t", "!?")], "training": []}, cleaned_at=1.0)
        == []
    )
