from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data import DuplicateIndex, drop_repeats, exclude_gold
from tutelage.data.duplicates import grams, jaccard, normalise
from tutelage.records import Prompt

THRESHOLD = 0.7


def _prompts(*texts):
    return [Prompt(str(number), text) for number, text in enumerate(texts)]


def test_case_width_and_white_space_do_not_hide_a_duplicate():
    index = DuplicateIndex(["Where is  my Ｃard?"], THRESHOLD)
    [match] = index.match_all(["where is my card?"])
    assert match is not None and match.exact and match.similarity == 1.0


def test_near_ones_are_found_and_their_similarity_is_exact():
    text = "my parcel was marked as delivered on monday but nobody ever rang the bell"
    near = text.replace("monday", "tuesday")
    [match, other] = DuplicateIndex([text], THRESHOLD).match_all([near, "please cancel my subscription"])
    assert match is not None and not match.exact
    assert match.similarity == jaccard(grams(text), grams(near))
    assert other is None


def test_gold_is_kept_out_of_traffic_with_the_reason():
    gold = _prompts("Please send the invoice to my accountant today")
    traffic = _prompts(
        "please send the INVOICE to my accountant today",
        "Please send the invoice to my accountant today!!",
        "a lamp arrived broken",
    )
    kept, rejected = exclude_gold(traffic, gold, THRESHOLD)
    assert [prompt.id for prompt in kept] == ["2"]
    assert [str(item.reason) for item in rejected] == ["duplicate_of_gold", "near_duplicate_of_gold"]


def test_the_first_of_repeats_stays():
    kept, rejected = drop_repeats(_prompts("hello", "HELLO", "bye"))
    assert [prompt.text for prompt in kept] == ["hello", "bye"]
    assert [(item.id, str(item.reason)) for item in rejected] == [("1", "duplicate_text")]


def test_nothing_below_the_threshold_matches_and_hardly_anything_above_is_missed():
    generator = np.random.default_rng(3)
    words = [f"word{number}" for number in range(40)]
    texts = [" ".join(generator.choice(words, 12)) for _ in range(60)]
    queries = []
    for text in texts:
        parts = text.split()
        for place in generator.choice(len(parts), int(generator.integers(0, 4)), replace=False):
            parts[place] = str(generator.choice(words))
        queries.append(" ".join(parts))
    matches = DuplicateIndex(texts, THRESHOLD).match_all(queries)
    wanted = found = 0
    for query, match in zip(queries, matches, strict=True):
        best = max(jaccard(grams(normalise(query)), grams(normalise(text))) for text in texts)
        if best >= THRESHOLD:
            wanted += 1
            found += match is not None
            assert match is None or match.similarity <= best
        else:
            assert match is None
    assert wanted > 20
    assert found / wanted > 0.95


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12))
def test_any_text_matches_itself(text):
    [match] = DuplicateIndex(["something else entirely", text], THRESHOLD).match_all([text])
    assert match is not None and match.exact
