from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from tutelage.data.clusters import cluster_count, cluster_names, fit_clusters
from tutelage.data.word_space import WordSpace

_TOPICS = {
    "parcel": "parcel courier shipment",
    "invoice": "invoice charge refund",
    "password": "password login code",
    "holiday": "holiday office closed",
}


def topics(n=400, seed=0):
    """Short texts of four topics, in the words of all and in words of their own."""
    generator = np.random.default_rng(seed)
    names = list(_TOPICS)
    which = generator.integers(len(names), size=n)
    common = "the my a please where is about for with".split()
    texts = [
        " ".join([*generator.choice(common, 4), *generator.choice(_TOPICS[names[topic]].split(), 2)])
        for topic in which
    ]
    return texts, which


def test_clusters_find_topics_and_are_named_by_their_own_words():
    texts, which = topics()
    points = WordSpace.fit(texts, width=8).embed(texts)
    clusters = fit_clusters(texts, points, 4, seed=0)
    numbers, distances = clusters.place(points)
    assert normalized_mutual_info_score(which, numbers) > 0.6
    own = {word for words in _TOPICS.values() for word in words.split()}
    for name in clusters.names:
        assert set(name.replace(",", "").split()) & own, name
    assert not {"the", "please"} & {word for name in clusters.names for word in name.split(", ")}
    assert distances.min() >= 0 and np.isfinite(distances).all()


def test_the_nearest_centre_is_the_nearest():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(50, 3)).astype(np.float32)
    clusters = fit_clusters([f"word{n}" for n in range(50)], points, 5)
    numbers, distances = clusters.place(points)
    every = np.linalg.norm(points[:, None] - clusters.centres[None], axis=2)
    np.testing.assert_array_equal(numbers, every.argmin(axis=1))
    np.testing.assert_allclose(distances, every.min(axis=1), atol=1e-4)


def test_the_same_seed_gives_the_same_clusters():
    texts, _ = topics(100)
    points = WordSpace.fit(texts).embed(texts)
    one, other = (fit_clusters(texts, points, 6, seed=3) for _ in range(2))
    assert one.names == other.names
    np.testing.assert_array_equal(one.centres, other.centres)


@pytest.mark.parametrize("texts", [["one"], ["same", "same", "same"], ["", "?"]])
def test_fewer_texts_than_clusters_give_fewer_clusters(texts):
    points = WordSpace.fit(texts).embed(texts)
    clusters = fit_clusters(texts, points, 10)
    assert 1 <= len(clusters) <= len(set(texts))
    numbers, _ = clusters.place(points)
    assert sorted(set(numbers.tolist())) == list(range(len(clusters)))


def test_nothing_makes_no_clusters():
    with pytest.raises(ValueError, match="no text"):
        fit_clusters([], np.zeros((0, 2), dtype=np.float32), 3)


def test_how_many_clusters_follows_from_the_texts_and_from_what_is_judged():
    assert cluster_count(10_000) == 71
    assert cluster_count(1_000_000) == 200
    assert cluster_count(10_000, least_in_each=10, judged=300) == 30
    assert cluster_count(10_000, least_in_each=10, judged=3) == 2
    assert cluster_count(1) == 1


def test_a_word_in_a_named_pair_is_not_named_again():
    texts = ["top up failed"] * 5 + ["card lost again"] * 5
    names = cluster_names(texts, np.repeat([0, 1], 5).astype(np.int32), 2)
    for name in names:
        words = name.replace(",", "").split()
        assert len(words) == len(set(words))
