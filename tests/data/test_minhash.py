from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data.duplicates import grams, jaccard
from tutelage.data.minhash import band_hashes, most_similar, sketches

LONG = "my parcel was marked as delivered on monday but nobody ever rang the bell at my door"


def test_bands_are_the_same_however_texts_are_put_together():
    texts = ["", "a", "abcde", "vwxyz!", "日本🙂 a longer one", "a", "x" * 600_000]
    whole = band_hashes(texts, 4, 3)
    assert whole.shape == (7, 4)
    assert np.array_equal(whole, np.vstack([band_hashes([text], 4, 3) for text in texts]))
    assert np.array_equal(whole[1], whole[5]) and len(np.unique(whole[[0, 1, 2, 3, 4, 6]])) == 24


def test_none_are_none():
    assert band_hashes([], 4, 3).shape == (0, 4)
    assert sketches([]).shape == (0, 8)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abc \0é🙂", max_size=30), min_size=1, max_size=6))
def test_texts_are_never_more_similar_than_their_sketches_let(texts):
    made = sketches(texts)
    assert np.array_equal(made, np.vstack([sketches([text]) for text in texts]))
    for text, sketch in zip(texts, made, strict=True):
        bounds = most_similar(np.repeat(sketch[None], len(texts), axis=0), made)
        assert (bounds >= [jaccard(grams(text), grams(other)) for other in texts]).all()


def test_sketches_tell_texts_that_have_half_in_common_from_near_ones():
    others = [LONG, LONG + "!", f"{LONG[:60]} and then the courier drove on", LONG[::-1]]
    one, *rest = sketches([LONG, *others])
    bounds = most_similar(np.repeat(one[None], 4, axis=0), np.array(rest))
    assert bounds[0] == 1.0 and bounds[1] > 0.95
    assert (bounds[2:] < 0.85).all()
    assert jaccard(grams(LONG), grams(others[2])) > 0.5
