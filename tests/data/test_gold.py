from __future__ import annotations

from collections import Counter

import pytest
from statsmodels.stats.proportion import proportion_confint

from tutelage import storage
from tutelage.config import GoldConfig
from tutelage.data import (
    GoldSet,
    clean_gold,
    examples_needed,
    gold_gate,
    gold_to_table,
    half_width,
    make_seal,
    read_sealed,
    resolve_labels,
    split_training,
)
from tutelage.errors import ConfigError, DataError, GateRefused, IntegrityError
from tutelage.gates import Verdict
from tutelage.records import Gold, Prompt

CONFIG = GoldConfig(path="gold.csv", margin=0.05)


def _gold(number, value="a", text=None, slice_="normal"):
    return Gold(
        Prompt(f"g{number}", text or f"message {number * 7919} about {value}", "gold.csv", slice_), value
    )


@pytest.mark.parametrize(("n", "right"), [(50, 45), (200, 180), (1000, 900), (40, 40)])
def test_the_half_width_is_wilsons(n, right):
    low, high = proportion_confint(right, n, method="wilson")
    assert half_width(n, right / n) == pytest.approx((high - low) / 2, abs=1e-12)


@pytest.mark.parametrize("margin", [0.2, 0.05, 0.02])
def test_the_needed_number_is_the_least_that_is_enough(margin):
    n = examples_needed(margin, 0.9)
    assert half_width(n, 0.9) <= margin < half_width(n - 1, 0.9)


def test_the_split_is_stratified_seeded_and_complete():
    examples = [_gold(n, "ab"[n % 2], slice_=("normal", "hard")[n % 10 == 0]) for n in range(200)]
    training, rest = split_training(examples, 0.3, seed=1)
    assert len(training) == 60
    assert {id(item) for item in training} | {id(item) for item in rest} == {id(item) for item in examples}
    assert Counter(item.value for item in training) == {"a": 30, "b": 30}
    assert training == split_training(examples, 0.3, seed=1)[0]
    assert training != split_training(examples, 0.3, seed=2)[0]


def test_contradictions_judge_nothing_and_the_training_part_may_not_repeat_gold():
    gold = [
        _gold(1, text="same words here"),
        _gold(2, "b", text="Same words here"),
        _gold(3),
        _gold(4, text="twice over"),
    ]
    gold.append(_gold(5, text="twice over"))
    training = [_gold(6, text="TWICE over"), _gold(7, "b")]
    cleaned = clean_gold(gold, training, 0.85)
    assert [item.prompt.id for item in cleaned.sealed] == ["g3", "g4"]
    assert [item.prompt.id for item in cleaned.training] == ["g7"]
    assert Counter(str(item.reason) for item in cleaned.rejected) == {
        "conflicting_label": 2,
        "duplicate_text": 1,
        "duplicate_of_gold": 1,
    }


def test_the_seal_is_broken_by_any_change(tmp_path):
    gold = GoldSet([_gold(n, "ab"[n % 2]) for n in range(300)], [], [])
    sealed, seal_path = tmp_path / "sealed.parquet", tmp_path / "seal.json"
    storage.write_table(sealed, gold_to_table(gold.sealed))
    seal = make_seal(gold, {"a": "", "b": ""}, CONFIG, sealed)
    storage.write_json(seal_path, seal)
    assert read_sealed(sealed, seal_path) == gold.sealed
    content = bytearray(sealed.read_bytes())
    content[len(content) // 2] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(IntegrityError, match="is not what"):
        read_sealed(sealed, seal_path)


def test_the_gate_says_how_many_more_are_needed(tmp_path):
    sealed = tmp_path / "sealed.parquet"
    for n, verdict in ((60, Verdict.FAIL), (examples_needed(0.05, 0.9), Verdict.PASS)):
        gold = GoldSet([_gold(k) for k in range(n)], [], [])
        storage.write_table(sealed, gold_to_table(gold.sealed))
        decision = gold_gate(make_seal(gold, {"a": "", "b": ""}, CONFIG, sealed), CONFIG)
        assert decision.verdict is verdict
        if verdict is Verdict.FAIL:
            assert decision.evidence[0].more_needed == examples_needed(0.05, 0.9) - n
            with pytest.raises(GateRefused, match="label .* more"):
                decision.require()


def test_labels_come_from_the_file_or_from_gold():
    gold = GoldSet([_gold(1, "b")], [_gold(2, "a")], [])
    assert resolve_labels(gold, None, None) == {"a": "", "b": ""}
    assert resolve_labels(gold, {"a": "first", "z": "never seen"}, "z") == {"a": "first", "z": "never seen"}
    with pytest.raises(ConfigError, match="out_of_scope 'x'"):
        resolve_labels(gold, None, "x")
    with pytest.raises(DataError, match="two are the least"):
        resolve_labels(GoldSet([_gold(1)], [], []), None, None)


def test_nothing_left_to_seal_is_an_error(tmp_path):
    sealed = tmp_path / "sealed.parquet"
    storage.write_table(sealed, gold_to_table([]))
    with pytest.raises(DataError, match="no gold example"):
        make_seal(GoldSet([], [], []), {}, CONFIG, sealed)
