from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data import DuplicateIndex, drop_repeats, exclude_gold
from tutelage.data.duplicates import grams, jaccard, normalise
from tutelage.data.minhash import choose_bands, miss_probability
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


def _pairs_at(similarity, count, seed):
    """Texts with, for each, another whose Jaccard similarity with it is about `similarity`."""
    generator = np.random.default_rng(seed)
    alphabet = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    # Of n grams that each has alone and m that are shared, m / (m + 2n) are: a change at the end makes n alone.
    alone = 20
    shared = round(2 * alone * similarity / (1 - similarity))
    pairs = []
    for _ in range(count):
        letters = "".join(generator.choice(alphabet, shared + 2 * alone + 4))
        pairs.append(
            (
                letters[: shared + alone + 4],
                letters[: shared + 4] + "".join(generator.choice(alphabet, alone)),
            )
        )
    return pairs


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_of_pairs_at_the_threshold_hardly_any_is_missed(threshold, seed):
    pairs = _pairs_at(threshold + 0.003, 700, seed)
    matches = DuplicateIndex([one for one, _ in pairs], threshold).match_all([other for _, other in pairs])
    alike = [jaccard(grams(one), grams(other)) for one, other in pairs]
    assert all(abs(similarity - threshold) < 0.05 for similarity in alike)
    wanted = [place for place, similarity in enumerate(alike) if similarity >= threshold]
    assert len(wanted) > 500
    # At most one in a thousand by the formula; 5 of 700 would be so by chance once in a thousand times.
    assert sum(matches[place] is None for place in wanted) < 5
    assert all(matches[place] is None for place in range(len(pairs)) if place not in set(wanted))


@pytest.mark.parametrize("threshold", [0.06, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 0.9999])
def test_the_bands_keep_their_promise(threshold):
    bands, rows = choose_bands(threshold)
    assert bands >= 2 and bands * rows <= 128
    assert miss_probability(threshold, bands, rows) < 0.001
    at_random = np.random.default_rng(0).random((20_000, bands, rows)) < threshold
    assert (~at_random.all(axis=2).any(axis=1)).mean() < 0.002


def test_hardly_any_dissimilar_pair_is_a_candidate():
    for threshold, dissimilar in ((0.7, 0.15), (0.85, 0.35), (0.95, 0.6)):
        assert 1 - miss_probability(dissimilar, *choose_bands(threshold)) < 0.03


@pytest.mark.parametrize("threshold", [0.01, 0.05, 0.97, 0.98, 0.99, 0.995, 0.9999, 1.0])
def test_every_threshold_that_may_be_set_works(threshold):
    letters = "".join(np.random.default_rng(0).choice(list("abcdefghij"), 2000))
    near = letters[:-1] + "z"
    similarity = jaccard(grams(letters), grams(near))
    assert 0.995 < similarity < 0.9999
    texts = [letters, "something else entirely"]
    same, other, far = DuplicateIndex(texts, threshold).match_all([letters.upper(), near, "no"])
    assert same is not None and same.exact
    assert (other is not None) is (threshold <= similarity)
    assert far is None


def test_rejections_give_the_rows_of_the_source():
    gold = [Prompt("g", "where is my card now please", "gold.csv", row=9)]
    prompts = [
        Prompt("a", "hello there you", "a.csv", row=3),
        Prompt("b", "Hello there you", "a.csv", row=7),
        Prompt("c", "Where is my card now please", "a.csv", row=8),
    ]
    kept, repeats = drop_repeats(prompts)
    _, in_gold = exclude_gold(kept, gold, THRESHOLD)
    assert [(item.id, item.row) for item in (*repeats, *in_gold)] == [("b", 7), ("c", 8)]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12))
def test_any_text_matches_itself(text):
    [match] = DuplicateIndex(["something else entirely", text], THRESHOLD).match_all([text])
    assert match is not None and match.exact


@pytest.mark.parametrize(
    ("text", "apart", "found"),
    [
        ("accountant my to invoice the send please", 0, True),
        ("please send an invoice to my accountant", 0, False),
        ("please send an invoice to my accountant", 1, True),
        ("please send the invoice to my accountant today", 1, True),
        ("send invoice the to my accountant", 1, True),
        ("send an invoice to my accountant", 1, False),
    ],
)
def test_words_in_another_order_and_a_word_apart(text, apart, found):
    gold = _prompts("Please send the invoice to my accountant.")
    _, rejected = exclude_gold(_prompts(text), gold, 0.95, apart=apart)
    assert bool(rejected) is found


def test_short_texts_are_not_alike_by_their_words():
    assert exclude_gold(_prompts("card lost my"), _prompts("lost my card"), 0.95, apart=1)[1] == []
