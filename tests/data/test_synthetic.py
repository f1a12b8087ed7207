from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage import storage
from tutelage.config import GoldConfig
from tutelage.data.gold import GoldSet, make_seal
from tutelage.data.splits import Origins, part_rows
from tutelage.data.synthetic import (
    Kind,
    Synthetic,
    connected,
    most_beside,
    read_synthetic,
    synthetic_to_table,
    without_synthetic,
)
from tutelage.errors import DataError
from tutelage.records import SYNTHETIC, Gold, Prompt


def _written(text: str, *seeds: Prompt, kind: Kind = Kind.VARIATION) -> Synthetic:
    prompt = Prompt(f"{SYNTHETIC}-{text}", text, SYNTHETIC)
    return Synthetic(prompt, kind, tuple(seed.hash for seed in seeds), "card", "writer", "1", "own@a")


def _real(*texts: str, **fields) -> list[Prompt]:
    return [Prompt(str(n), text, "traffic.csv", **fields) for n, text in enumerate(texts)]


def test_a_table_gives_back_what_was_written(tmp_path):
    one, two = _real("a", "b")
    written = [_written("c", one), _written("d", one, two, kind=Kind.CLUSTER)]
    storage.write_table(tmp_path / "s.parquet", synthetic_to_table(written))
    assert read_synthetic(tmp_path / "s.parquet") == written
    assert read_synthetic(tmp_path / "absent.parquet") == []


@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.1, 0.25, 1 / 3, 0.5, 0.9]))
def test_the_share_is_never_passed_and_one_more_would_pass_it(real, share):
    most = most_beside(real, share)
    assert most <= share * (real + most) + 1e-9
    assert most + 1 > share * (real + most + 1) - 1e-9


def test_a_tenth_beside_ninety_is_ten():
    assert [most_beside(n, 0.1) for n in (0, 8, 9, 90, 900)] == [0, 0, 1, 10, 100]


def test_what_was_written_is_in_one_group_with_its_seeds_and_joins_theirs():
    one, two, three, four = _real("a", "b", "c", "d")
    two = Prompt("1", "b", group="session")
    five = Prompt("4", "e", group="session")
    real, written = connected(
        [one, two, three, four, five], [_written("x", one, two), _written("y", three), _written("z", one)]
    )
    groups = {prompt.text: prompt.group for prompt in [*real, *written]}
    assert groups["a"] == groups["b"] == groups["e"] == groups["x"] == groups["z"] != ""
    assert groups["c"] == groups["y"] != groups["a"]
    assert groups["d"] == ""
    assert connected([one], [])[0] == [one]


def test_what_a_model_wrote_is_no_gold_whatever_its_case_or_spaces():
    gold = [Gold(prompt, "label") for prompt in _real("Where  is my CARD", "where is my parcel")]
    kept, rejected = without_synthetic(gold, [Prompt(f"{SYNTHETIC}-1", "where is my card", SYNTHETIC)])
    assert [item.prompt.text for item in kept] == ["where is my parcel"]
    assert [(item.reason, item.id) for item in rejected] == [("synthetic", "0")]
    marked = [Gold(Prompt("9", "new", SYNTHETIC), "label")]
    assert without_synthetic(marked, [])[0] == []


def test_a_seal_refuses_what_a_model_wrote(tmp_path):
    real, written = Gold(Prompt("1", "a"), "x"), Gold(Prompt("2", "b", SYNTHETIC), "y")
    for gold in (
        GoldSet([real, written], [], []),
        GoldSet([real], [written], []),
        GoldSet([real], [], [], [written]),
    ):
        with pytest.raises(DataError, match="1 examples of gold were written by a model"):
            make_seal(gold, {"x": "", "y": ""}, GoldConfig(path="g"), tmp_path / "sealed.parquet")


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.booleans()), min_size=2, max_size=40),
    st.floats(0.05, 0.6),
    st.integers(0, 5),
)
def test_nothing_synthetic_is_held_back_and_no_group_is_on_both_sides(rows, share, seed):
    groups, synthetic = (tuple(column) for column in zip(*rows, strict=True))
    learning, chosen = part_rows(len(rows), share, seed, Origins(groups, synthetic))
    assert not set(learning.tolist()) & set(chosen.tolist())
    real = [row for row, flag in enumerate(synthetic) if not flag]
    if len(real) < 2:
        return
    assert not any(synthetic[row] for row in chosen)
    lost = set(range(len(rows))) - set(learning.tolist()) - set(chosen.tolist())
    assert all(synthetic[row] for row in lost)
    if len({groups[row] or f"-{row}" for row in real}) > 1:
        names = {groups[row] for row in chosen} - {""}
        assert not names & {groups[row] for row in learning}


def test_without_synthetic_rows_a_split_is_what_it_was():
    learning, held = part_rows(50, 0.2, 3, Origins())
    assert len(held) == 10 and len(learning) == 40
    real = np.arange(50)
    with_more, same = part_rows(60, 0.2, 3, Origins(synthetic=(False,) * 50 + (True,) * 10))
    assert same.tolist() == held.tolist()
    assert set(with_more.tolist()) == set(learning.tolist()) | set(range(50, 60))
    assert len(real) == 50
