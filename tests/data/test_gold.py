from __future__ import annotations

from collections import Counter

import pytest
from statsmodels.stats.proportion import proportion_confint

from tutelage import storage
from tutelage.config import ColumnsConfig, GoldConfig
from tutelage.data import (
    GoldSet,
    clean_gold,
    examples_needed,
    gold_gate,
    gold_to_table,
    half_width,
    make_seal,
    read_calibration,
    read_gold,
    read_sealed,
    resolve_labels,
    split_training,
    to_be_sealed,
)
from tutelage.data.duplicates import normalise
from tutelage.errors import ConfigError, DataError, GateRefused, IntegrityError
from tutelage.gates import Verdict
from tutelage.records import Gold, Prompt, Rejection
from tutelage.tasks import Classify

CONFIG = GoldConfig(path="gold.csv", margin=0.05)


def _gold(number, value="a", text=None, slice_="normal"):
    return Gold(
        Prompt(f"g{number}", text or f"message {number * 7919} about {value}", "gold.csv", slice_), value
    )


@pytest.mark.parametrize(("n", "right"), [(50, 45), (200, 180), (1000, 900), (40, 40)])
def test_the_half_width_is_that_of_the_interval_that_is_reported(n, right):
    low, high = proportion_confint(right, n, method="beta")
    assert half_width(n, right / n) == pytest.approx((high - low) / 2, abs=1e-9)


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


def test_what_the_split_parts_is_never_the_same_text():
    examples = [_gold(n, "ab"[n % 2]) for n in range(40)]
    examples += [_gold(50 + n, "ab"[n % 2], text="Where is my card" + " " * n) for n in range(2)]
    examples += [_gold(60 + n, "a", text="same text, same label") for n in range(3)]
    sealed_too = set()
    for seed in range(20):
        training, rest = split_training(examples, 0.3, seed)
        assert len(training) + len(rest) == len(examples)
        assert not {normalise(item.prompt.text) for item in training} & {
            normalise(item.prompt.text) for item in rest
        }
        cleaned = clean_gold(rest, training, 0.85)
        by_reason = Counter(str(item.reason) for item in cleaned.rejected)
        assert by_reason == {"conflicting_label": 2, "duplicate_text": 2}
        assert len(cleaned.training) + len(cleaned.sealed) == 41
        assert len(cleaned.training) in (12, 13)
        sealed_too |= {item.prompt.text for item in cleaned.sealed}
    assert not any("card" in text for text in sealed_too)


def test_a_contradicted_text_leaves_the_split_of_the_others_as_it_should_be():
    examples = [_gold(n, "ab"[n % 2]) for n in range(200)]
    examples += [_gold(300 + n, "ab"[n % 2], text=f"doubtful {n // 2}") for n in range(20)]
    training, rest = split_training(examples, 0.3, seed=4)
    cleaned = clean_gold(rest, training, 0.85)
    assert Counter(item.value for item in cleaned.training) == {"a": 30, "b": 30}
    everything, nothing = split_training(examples, 1.0, seed=0)
    assert (len(everything), nothing) == (len(examples), [])


def test_a_training_file_that_contradicts_sealed_gold_is_told_so_without_the_sealed_label():
    gold = [_gold(1, "secret", text="where is my card"), _gold(2, "b", text="cancel my order")]
    training = [
        _gold(3, "b", text="Where is my card"),
        _gold(4, "b", text="cancel my order"),
        _gold(5, "a", text="something else"),
    ]
    cleaned = clean_gold(gold, training, 0.85)
    assert [item.prompt.id for item in cleaned.sealed] == ["g1", "g2"]
    assert [item.prompt.id for item in cleaned.training] == ["g5"]
    assert [(item.id, str(item.reason)) for item in cleaned.rejected] == [
        ("g3", "conflicting_label"),
        ("g4", "duplicate_of_gold"),
    ]
    assert "'g1'" in cleaned.rejected[0].detail
    assert not any("secret" in item.detail for item in cleaned.rejected)


def test_rejections_give_the_rows_of_the_file(tmp_path):
    lines = [",a", "first words,a", ",b", "Doubtful,a", "first words,a", "doubtful,b", "other,b"]
    path = tmp_path / "gold.csv"
    path.write_text("\n".join(["text,label", *lines]))
    rows = read_gold(path, ColumnsConfig(), task=Classify(()))
    assert [item.prompt.row for item in rows.accepted] == [2, 4, 5, 6, 7]
    cleaned = clean_gold(rows.accepted, [], 0.85)
    assert sorted((item.row, str(item.reason)) for item in (*rows.rejected, *cleaned.rejected)) == [
        (1, "empty_text"),
        (3, "empty_text"),
        (4, "conflicting_label"),
        (5, "duplicate_text"),
        (6, "conflicting_label"),
    ]


def test_the_seal_is_broken_by_any_change(tmp_path):
    gold = GoldSet([_gold(n, "ab"[n % 2]) for n in range(300)], [], [])
    sealed, seal_path = tmp_path / "sealed.parquet", tmp_path / "seal.json"
    storage.write_table(sealed, gold_to_table(gold.sealed))
    seal = make_seal(gold, {"a": "", "b": ""}, CONFIG, sealed)
    storage.write_json(seal_path, seal)
    assert read_sealed(sealed, seal_path) == to_be_sealed(gold.sealed)
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
    with pytest.raises(DataError, match="no gold example.*Mend"):
        make_seal(GoldSet([], [], []), {}, CONFIG, sealed)
    with pytest.raises(DataError, match=_COUNTS):
        make_seal(GoldSet([], [], _REJECTED), {}, CONFIG, sealed)


_REJECTED = [
    Rejection("gold.csv", row, "", reason, f"why {row}", "text")
    for row, reason in enumerate(
        ["nul"] + ["label_out_of_set"] * 1200 + ["empty_text"] * 3 + ["not_utf8"] * 2, start=1
    )
]
_COUNTS = (
    r"1,206 rows were not taken: 1,200 label_out_of_set \(row 2 of gold\.csv: why 2\), 3 empty_text "
    r"\(row 1202 of .*\), 2 not_utf8 \(.*\) and others\. Mend"
)


def test_gold_of_which_nothing_was_taken_says_why():
    with pytest.raises(DataError, match="no gold example is left to seal; " + _COUNTS):
        resolve_labels(GoldSet([], [], _REJECTED), None, None)
    with pytest.raises(DataError, match="no gold example is left to seal; no row was refused.*Mend"):
        resolve_labels(GoldSet([], [_gold(1)], []), {"a": "", "b": ""}, None)
    with pytest.raises(DataError, match="a header and no rows. Mend: add"):
        resolve_labels(GoldSet([], [], []), None, None)
    with pytest.raises(DataError, match=r"gold has 1 label\(s\): \['a'\].*" + _COUNTS):
        resolve_labels(GoldSet([_gold(1)], [], _REJECTED), None, None)


def test_open_values_are_split_by_slice_and_not_by_the_alphabet():
    # Every value a stratum of its own, the training part was the first ones of the alphabet.
    examples = [Gold(Prompt(f"p{n}", f"text {n}", slice="ab"[n % 2]), f"value {n:03}") for n in range(200)]
    training, rest = split_training(examples, 0.3, seed=1, by_value=False)
    assert len(training) == 60 and len(rest) == 140
    assert sum(item.prompt.slice == "a" for item in training) == 30
    assert 20 < sum(item.value > "value 099" for item in training) < 40


def test_the_calibration_part_is_neither_sealed_nor_learned_from():
    sealed = [_gold(1, text="where is my parcel"), _gold(2, text="pay the invoice")]
    calibration = [
        _gold(11, text="Where is my parcel"),
        _gold(12, "b", text="pay the invoice"),
        _gold(13, text="a word about my password"),
        _gold(14, text="a word about my password"),
        _gold(15, text="the courier rang twice"),
    ]
    training = [
        _gold(21, text="a word about my password"),
        _gold(22, "b", text="the courier rang twice"),
        _gold(23, text="nobody answers the telephone"),
    ]
    found = clean_gold(sealed, training, 0.85, calibration=calibration)
    parts = (found.sealed, found.calibration, found.training)
    assert [[item.prompt.id for item in part] for part in parts] == [["g1", "g2"], ["g13", "g15"], ["g23"]]
    reasons = {item.id: str(item.reason) for item in found.rejected}
    assert reasons == {
        "g11": "duplicate_of_gold",
        "g12": "conflicting_label",
        "g14": "duplicate_text",
        "g21": "duplicate_of_gold",
        "g22": "conflicting_label",
    }
    [told] = [item.detail for item in found.rejected if item.id == "g22"]
    assert told == "the same text has another label in gold's calibration part, as 'g15'"


def test_the_calibration_part_is_sealed_with_the_rest(tmp_path):
    gold = GoldSet([_gold(1), _gold(2, "b")], [], [], [_gold(3)])
    sealed, calibration, seal = (tmp_path / name for name in ("sealed.parquet", "more.parquet", "seal.json"))
    storage.write_table(sealed, gold_to_table(gold.sealed))
    storage.write_table(calibration, gold_to_table(gold.calibration))
    labels = {"a": "", "b": ""}
    storage.write_json(seal, make_seal(gold, labels, CONFIG, sealed, calibration))
    assert read_calibration(calibration, seal) == gold.calibration
    storage.write_table(calibration, gold_to_table([_gold(4)]))
    with pytest.raises(IntegrityError, match=r"more.parquet is not what .*seal.json sealed"):
        read_calibration(calibration, seal)
    storage.write_json(seal, make_seal(gold, labels, CONFIG, sealed))
    assert read_calibration(calibration, seal) == []


def test_a_label_of_the_calibration_part_alone_is_one_too():
    gold = GoldSet([_gold(1)], [], [], [_gold(2, "b")])
    assert resolve_labels(gold, None, None) == {"a": "", "b": ""}
