"""How many examples gold needs, and which are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data import examples_needed, half_width
from tutelage.data.gold_plan import ALL, allocate, draw_stratified, slice_needs


def needs(sealed, waiting=None, *, share=1.0, margins=None):
    asked = margins or {"critical": (0.05, "release.max_critical_loss"), ALL: (0.04, "gold.margin")}
    traffic = {"critical": 30, "normal": 5_000}
    found = slice_needs(sealed, waiting or {}, traffic, asked, accuracy=0.9, sealed_share=share)
    return {need.slice: need for need in found}


def test_what_is_needed_is_what_the_gate_asks_for():
    found = needs({"critical": 10, "normal": 190})
    need = examples_needed(0.04, 0.9)
    assert half_width(need, 0.9) <= 0.04 < half_width(need - 1, 0.9)
    assert (found[ALL].have, found[ALL].need, found[ALL].rows) == (200, need, need - 200)
    assert found["critical"].rows == examples_needed(0.05, 0.9) - 10
    assert found["critical"].traffic == 30 and list(found) == ["critical", ALL]


def test_parts_that_are_not_sealed_cost_rows_and_what_waits_counts():
    need = examples_needed(0.04, 0.9)
    assert needs({}, share=0.5)[ALL].rows == 2 * need
    assert needs({}, {"normal": 10}, share=0.5)[ALL].rows == 2 * need - 10
    assert needs({"normal": 100_000})[ALL].rows == 0


@given(
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(0, 15)), min_size=1, max_size=6),
)
def test_allocation_gives_as_many_as_there_are_and_no_more(rows, strata):
    traffic, gold, there = (np.array(column) for column in zip(*strata, strict=True))
    found = allocate(rows, traffic + there.astype(float), gold.astype(float), there)
    assert found.sum() == min(rows, there.sum()) and (found >= 0).all() and (found <= there).all()


def test_gold_comes_to_look_like_the_traffic():
    traffic = np.array([60.0, 30.0, 10.0])
    there = np.array([600, 300, 100])
    assert allocate(100, traffic, np.zeros(3), there).tolist() == [60, 30, 10]
    assert allocate(100, traffic, np.array([60.0, 0, 0]), there).tolist()[0] < 40
    assert allocate(40, traffic, np.array([60.0, 0, 0]), there).tolist() == [0, 30, 10]


def test_draws_are_random_in_their_strata_and_follow_from_the_seed():
    strata = np.repeat([0, 1], [300, 100])
    counts = np.ones(400, dtype=np.int64)
    found = draw_stratified(40, strata, counts, np.zeros(2), seed=1)
    assert len(set(found.tolist())) == 40
    assert np.bincount(strata[found]).tolist() == [30, 10]
    assert found.tolist() == draw_stratified(40, strata, counts, np.zeros(2), seed=1).tolist()
    assert set(found.tolist()) != set(draw_stratified(40, strata, counts, np.zeros(2), seed=2).tolist())
    first = np.zeros(400)
    for seed in range(400):
        first[draw_stratified(40, strata, counts, np.zeros(2), seed=seed)] += 1
    # Each is drawn with probability 1/10: 40 times in 400, within five standard deviations.
    assert first.min() > 40 - 5 * 6 and first.max() < 40 + 5 * 6


def test_what_is_asked_often_is_drawn_more_readily():
    counts = np.array([9] + [1] * 9, dtype=np.int64)
    strata = np.zeros(10, dtype=np.int64)
    hits = sum(0 in draw_stratified(1, strata, counts, np.zeros(1), seed=seed) for seed in range(400))
    assert hits / 400 == pytest.approx(0.5, abs=0.125)  # five standard deviations


def test_nothing_is_drawn_of_nothing():
    none = np.zeros(0, dtype=np.int64)
    assert draw_stratified(5, none, none, np.zeros(0), seed=0).tolist() == []
    assert allocate(0, np.ones(2), np.zeros(2), np.array([3, 3])).tolist() == [0, 0]
