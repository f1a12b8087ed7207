from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data import split_training
from tutelage.data.splits import Origins, held_rows, origins_of, others, part_rows
from tutelage.errors import DataError
from tutelage.records import Gold, Prompt

NAMES = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=2, max_size=40)


@settings(deadline=None)
@given(NAMES, st.floats(0.05, 0.9), st.integers(0, 9), st.sampled_from(["places", "ids", "times"]))
def test_no_group_is_on_both_sides_and_no_row_on_neither(names, share, seed, by):
    ids = [f"id-{n}" for n in range(len(names))] if by == "ids" else ()
    times = [float(n * 7 % 11) for n in range(len(names))] if by == "times" else ()
    rows = held_rows(len(names), share, seed, names, ids, times)
    rest = others(len(names), rows)
    assert sorted([*rows, *rest]) == list(range(len(names)))
    assert len(rows) and len(rest)
    if len(set(names)) > 1 or "" in names:
        assert not ({names[row] for row in rows} & {names[row] for row in rest}) - {""}
        smallest = 1 if "" in names else min(map(names.count, set(names)))
        if by != "ids":
            held = min(max(1, round(share * len(names))), len(names) - 1)
            assert len(rows) <= max(held, smallest)


def test_without_groups_rows_are_drawn_as_ever():
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(50)
        for groups in ((), ("",) * 50, tuple(map(str, range(50))), ("one",) * 50):
            assert held_rows(50, 0.2, seed, groups).tolist() == sorted(order[:10].tolist())


@settings(deadline=None, max_examples=30)
@given(st.integers(40, 300), st.integers(1, 300), st.integers(0, 9))
def test_rows_that_are_added_move_no_group_that_was_drawn(count, more, seed):
    ids = [f"id-{n}" for n in range(count + more)]
    first = set(held_rows(count, 0.2, seed, (), ids[:count]).tolist())
    both = set(held_rows(count + more, 0.2, seed, (), ids).tolist())
    if len(first) > 0.1 * count and len(both) > 0.1 * (count + more):
        assert {row for row in both if row < count} == first
    mixed = np.random.default_rng(seed).permutation(count + more)
    again = held_rows(count + more, 0.2, seed, (), [ids[row] for row in mixed])
    assert {ids[mixed[row]] for row in again} == {ids[row] for row in both}


def test_a_new_near_duplicate_goes_where_the_earlier_one_went():
    ids = [f"id-{n}" for n in range(400)]
    alone = held_rows(400, 0.2, 3, (), ids)
    groups = [f"id-{n}" for n in range(400)] + [f"id-{n}" for n in range(0, 400, 2)]
    joined = held_rows(600, 0.2, 3, groups, [*ids, *(f"new-{n}" for n in range(200))])
    assert [row for row in joined.tolist() if row < 400] == alone.tolist()
    assert {groups[row] for row in joined.tolist()} == {ids[row] for row in alone.tolist()}


def test_draws_by_id_have_the_share_on_average_and_follow_from_the_seed():
    ids = [f"id-{n}" for n in range(5_000)]
    held = [held_rows(5_000, 0.1, seed, (), ids) for seed in range(8)]
    assert all(abs(len(rows) - 500) < 85 for rows in held)  # four standard deviations
    assert len(set(held[0].tolist()) & set(held[1].tolist())) < 90
    for count in range(2, 12):
        assert 1 <= len(held_rows(count, 0.1, 0, (), ids[:count])) < count
        assert 1 <= len(held_rows(count, 0.95, 0, (), ids[:count])) < count


def test_by_time_the_latest_are_held_back_and_a_group_by_its_latest():
    times = [5.0, 1.0, 9.0, None, 7.0, 2.0, 8.0, 3.0, 4.0, 6.0]
    assert held_rows(10, 0.3, 0, (), (), times).tolist() == [2, 4, 6]
    groups = ["", "late", "late", "", "", "", "", "", "", ""]
    assert held_rows(10, 0.3, 0, groups, (), times).tolist() == [1, 2, 6]
    learning, held = part_rows(10, 0.3, 0, Origins(times=tuple(times), synthetic=(*[False] * 9, True)))
    assert held.tolist() == [2, 4, 6] and 9 in learning
    with pytest.raises(DataError, match=r"traffic.split is time, and no answered prompt has one. Mend"):
        origins_of([{"id": "a", "time": None}, {"id": "b"}], by_time=True)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("vwxyz"), st.sampled_from(["", "a", "b", "c"]), st.sampled_from("12")),
        max_size=30,
    ),
    share=st.floats(0.1, 0.9),
)
def test_gold_of_one_group_or_text_is_in_one_part(rows, share):
    examples = [Gold(Prompt(str(n), text, group=group), label) for n, (text, group, label) in enumerate(rows)]
    training, rest = split_training(examples, share, 0)
    assert len(training) + len(rest) == len(examples)
    assert not {item.prompt.text for item in training} & {item.prompt.text for item in rest}
    parted = ({item.prompt.group for item in training} & {item.prompt.group for item in rest}) - {""}
    if parted:  # all texts hang together, so that no split could spare it
        linked = {text for text, _, _ in rows}
        reached = {rows[0][0]}
        for _ in linked:
            names = {group for text, group, _ in rows if text in reached} - {""}
            reached |= {text for text, group, _ in rows if group in names}
        assert reached == linked
