from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny_world import TEXTS
from tutelage.data.word_space import WordSpace, unit_rows


def test_points_are_of_length_one_and_follow_from_the_seed():
    space = WordSpace.fit(TEXTS, seed=1, width=8)
    points = space.embed(TEXTS)
    assert points.shape == (len(TEXTS), 8) and points.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(points, WordSpace.fit(TEXTS, seed=1, width=8).embed(TEXTS))


def test_what_is_asked_counts_more_than_how():
    frames = ("the {} does not work as it should", "please explain the {} to me", "how do i change my {}")
    subjects = [f"thing{number}" for number in range(40)]
    texts = [frame.format(subject) for frame in frames for subject in subjects]
    points = WordSpace.fit(texts).embed(texts)
    same_subject, same_frame = points[0] @ points[40], points[0] @ points[1]
    assert same_subject > 0.6 > 0.4 > same_frame


def test_scripts_without_spaces_have_words_too():
    texts = ["我的包裹在哪里", "包裹什么时候到", "密码忘记了怎么办", "忘记密码"] * 3
    points = WordSpace.fit(texts).embed(texts)
    assert points[0] @ points[1] > points[0] @ points[2]


@pytest.mark.parametrize("texts", [["?!"], ["", " "], ["one"], ["one", "one"]])
def test_little_makes_a_space_all_the_same(texts):
    space = WordSpace.fit(texts)
    assert space.embed(texts).shape[0] == len(texts)
    assert np.isfinite(space.embed(["something else"])).all()
    assert space.embed([]).shape == (0, space.embed(texts).shape[1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=12))
def test_any_texts_give_finite_points(texts):
    points = WordSpace.fit(texts).embed(texts)
    lengths = np.linalg.norm(points, axis=1)
    assert np.isfinite(points).all()
    assert ((np.abs(lengths - 1) < 1e-4) | (lengths == 0)).all()


def test_texts_that_are_all_alike_have_one_point():
    points = WordSpace.fit(["the same words here"] * 5).embed(["the same words here"] * 2)
    np.testing.assert_allclose(points[0], points[1])
    assert np.isfinite(points).all()


def test_a_row_of_zeros_stays():
    np.testing.assert_array_equal(
        unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [np.float32(0.6), np.float32(0.8)]]
    )
