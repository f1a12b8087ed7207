from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data import split_training
from tutelage.data.splits import groups_of, held_rows, others
from tutelage.records import Gold, Prompt


@given(
    names=st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=2, max_size=40),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 9),
)
def test_no_group_is_on_both_sides_and_no_row_on_neither(names, share, seed):
    held = min(max(1, round(share * len(names))), len(names) - 1)
    rows = held_rows(len(names), held, seed, groups_of(names))
    rest = others(len(names), rows)
    assert sorted([*rows, *rest]) == list(range(len(names)))
    assert len(rows) and len(rest)
    if len(set(names)) > 1 or "" in names:
        assert not ({names[row] for row in rows} & {names[row] for row in rest}) - {""}
        smallest = 1 if "" in names else min(map(names.count, set(names)))
        assert len(rows) <= max(held, smallest)


def test_without_groups_rows_are_drawn_as_ever():
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(50)
        for groups in ((), ("",) * 50, tuple(map(str, range(50))), ("one",) * 50):
            assert held_rows(50, 10, seed, groups).tolist() == sorted(order[:10].tolist())
            assert held_rows(50, 10, seed, groups_of(groups)).tolist() == sorted(order[:10].tolist())


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
