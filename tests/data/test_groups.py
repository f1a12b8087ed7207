from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data.groups import connect, first_of, near_groups


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_the_first_of_equal_ones_is_found(rows):
    high, low = (np.array([row[place] for row in rows], np.uint64) for place in (0, 1))
    assert first_of(high, low).tolist() == [rows.index(row) for row in rows]


def test_what_pairs_connect_has_one_first():
    pairs = [(np.array([4, 2]), np.array([3, 1])), (np.array([3]), np.array([1]))]
    assert connect(6, pairs).tolist() == [0, 1, 1, 1, 1, 5]
    assert connect(0, []).tolist() == []


def test_in_a_bucket_those_unlike_its_first_are_compared_among_themselves():
    kinds = np.array([0, 1, 0, 1, 2, 0])
    column = np.array([7, 7, 7, 7, 7, 0], np.uint64)  # the last is in no bucket
    found = near_groups(6, [(column, lambda one, other: kinds[one] == kinds[other])])
    assert found.tolist() == [0, 1, 0, 1, 4, 5]


def test_no_pair_that_is_unlike_is_connected():
    column = np.ones(5, np.uint64)
    unlike = (column, lambda one, _: np.zeros(len(one), bool))
    assert near_groups(5, [unlike, unlike]).tolist() == [*range(5)]
