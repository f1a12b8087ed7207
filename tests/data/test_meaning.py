from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data.meaning import _BLOCK, grouped, near_pairs, nearest
from tutelage.records import Prompt


def _unit(n: int, width: int = 6, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@given(st.integers(0, 40), st.floats(-1.0, 1.0), st.integers(0, 5))
def test_pairs_are_all_there_are(n, least, seed):
    points = _unit(n, seed=seed)
    found = {
        (int(one), int(other))
        for ones, others in near_pairs(points, least)
        for one, other in zip(ones, others, strict=True)
    }
    cosines = points @ points.T
    sure = {(i, j) for i in range(n) for j in range(i + 1, n) if cosines[i, j] >= least + 1e-5}
    maybe = {(i, j) for i in range(n) for j in range(i + 1, n) if cosines[i, j] >= least - 1e-5}
    assert sure <= found <= maybe


def test_blocks_meet():
    points = np.tile(_unit(1), (_BLOCK + 2, 1))
    assert sum(len(ones) for ones, _ in near_pairs(points, 0.99)) == (_BLOCK + 2) * (_BLOCK + 1) // 2
    rows, cosines = nearest(points, _unit(3))
    assert set(rows.tolist()) == {0} and np.allclose(cosines, 1.0)


def test_nothing_is_nearest_where_there_is_nothing():
    rows, cosines = nearest(_unit(3), np.zeros((0, 6), np.float32))
    assert rows.tolist() == [-1] * 3 and cosines.tolist() == [-1.0] * 3
    assert nearest(np.zeros((0, 6), np.float32), _unit(3))[0].tolist() == []


def test_groups_are_joined_through_meaning_and_through_those_that_were():
    points = np.eye(6, dtype=np.float32)[[0, 1, 1, 2, 3, 4]]
    prompts = [
        Prompt("0", "a", group="session"),
        Prompt("1", "b", group="session"),
        Prompt("2", "c"),
        Prompt("3", "d"),
        Prompt("4", "e", group="other"),
        Prompt("5", "f", group="other"),
    ]
    found = [prompt.group for prompt in grouped(prompts, points, 0.9)]
    assert found == ["session", "session", "session", "", "other", "other"]
    assert grouped([], points[:0], 0.9) == []
