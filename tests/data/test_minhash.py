from __future__ import annotations

import numpy as np

from tutelage.data.minhash import band_hashes


def test_bands_are_the_same_however_texts_are_put_together():
    texts = ["", "a", "abcde", "vwxyz!", "日本🙂 a longer one", "a", "x" * 600_000]
    whole = band_hashes(texts, 4, 3)
    assert whole.shape == (7, 4)
    assert np.array_equal(whole, np.vstack([band_hashes([text], 4, 3) for text in texts]))
    assert np.array_equal(whole[1], whole[5]) and len(np.unique(whole[[0, 1, 2, 3, 4, 6]])) == 24


def test_none_are_none():
    assert band_hashes([], 4, 3).shape == (0, 4)
