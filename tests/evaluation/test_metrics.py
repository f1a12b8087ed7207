import json
from dataclasses import replace

import numpy as np
import pytest
from evaluation_world import TASK, arm_of, gold_of, random_world
from hypothesis import given, settings
from hypothesis import strategies as st
from open_world import EXTRACT, GENERATE, open_world
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, roc_auc_score

from tutelage.config import ReleaseConfig
from tutelage.errors import DataError
from tutelage.evaluation import (
    Arm,
    evaluate,
    paired_difference_interval,
    predictions_table,
    proportion_interval,
    release_decision,
    render_report,
)
from tutelage.evaluation.calibration import untempered
from tutelage.evaluation.intervals import ratio_interval
from tutelage.records import Fields
from tutelage.tasks import Classify, Judge

MULTI = Classify(("a", "b", "c", "d"), multi_label=True)
FAST = 50


@pytest.fixture(scope="module")
def world():
    gold, arms = random_world()
    return gold, arms, evaluate(TASK, gold, arms)


def test_every_arm_agrees_with_sklearn(world):
    gold, arms, metrics = world
    truth = [item.value for item in gold]
    for name, arm in arms.items():
        said = ["(none)" if value is None else value for value in arm.values]
        scores = metrics["arms"][name]
        assert scores["accuracy"]["estimate"] == pytest.approx(accuracy_score(truth, said))
        labels = list(TASK.labels)
        assert scores["macro_f1"]["estimate"] == pytest.approx(
            f1_score(truth, said, labels=labels, average="macro")
        )
        columns = precision_recall_fscore_support(truth, said, labels=labels)
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True):
            got = scores["labels"][label]
            assert (got["precision"], got["recall"], got["f1"]) == pytest.approx((precision, recall, f1))
            assert got["support"] == support
            assert got["recall_low"] < recall < got["recall_high"]
        assert scores["unanswered"] == 1


def test_accuracy_by_slice_and_its_interval(world):
    gold, arms, metrics = world
    inside = [row for row, item in enumerate(gold) if item.prompt.slice == "critical"]
    right = sum(arms["student"].values[row] == gold[row].value for row in inside)
    got = metrics["arms"]["student"]["slices"]["critical"]
    assert got["estimate"] == right / len(inside)
    assert (got["low"], got["high"]) == proportion_interval(right, len(inside))
    assert sum(item["n"] for item in metrics["arms"]["student"]["slices"].values()) == metrics["n"] == 400


def test_comparisons_pair_the_same_examples(world):
    gold, arms, metrics = world
    assert [(item["a"], item["b"]) for item in metrics["comparisons"]] == [
        ("student", "teacher"),
        ("student", "control"),
        ("control", "teacher"),
    ]
    for item in metrics["comparisons"]:
        a, b = (
            np.array([value == g.value for value, g in zip(arms[item[key]].values, gold, strict=True)])
            for key in "ab"
        )
        assert item["only_a_right"] == (a & ~b).sum()
        assert item["only_b_right"] == (b & ~a).sum()
        assert item["difference"]["estimate"] == pytest.approx(a.mean() - b.mean())
        ends = paired_difference_interval(item["only_a_right"], item["only_b_right"], 400)
        assert (item["difference"]["low"], item["difference"]["high"]) == ends


def test_on_enough_examples_intervals_are_those_of_a_bootstrap(world):
    """Brute force: draw examples with replacement, and score each resample with sklearn's formula by hand."""
    gold, arms, metrics = world
    truth = TASK.encode([item.value for item in gold]) > 0
    said = {
        name: np.vstack([TASK.encode([v])[0] > 0 if v is not None else np.zeros(4, bool) for v in arm.values])
        for name, arm in arms.items()
    }
    generator = np.random.default_rng(5)
    macro, difference, retention, recovered = [], [], [], []
    for _ in range(2000):
        rows = generator.integers(400, size=400)
        scores = {}
        for name in ("student", "teacher"):
            hits = (truth[rows] & said[name][rows]).sum(axis=0)
            scores[name] = np.mean(2 * hits / (truth[rows].sum(axis=0) + said[name][rows].sum(axis=0)))
        macro.append(scores["student"])
        difference.append(scores["student"] - scores["teacher"])
        teacher, control, student = (
            (truth[rows] & said[name][rows]).any(axis=1).mean() for name in ("teacher", "control", "student")
        )
        retention.append(student / teacher)
        recovered.append((student - control) / (teacher - control))
    for got, brute, tolerance in (
        (metrics["arms"]["student"]["macro_f1"], macro, 0.006),
        (metrics["comparisons"][0]["macro_f1"], difference, 0.006),
        (metrics["retention"], retention, 0.006),
        (metrics["gap_recovered"], recovered, 0.15),
    ):
        assert (got["low"], got["high"]) == pytest.approx(
            tuple(np.quantile(brute, [0.025, 0.975])), abs=tolerance
        )
        assert got["low"] < got["estimate"] < got["high"]


def test_the_result_is_json_and_repeats(world):
    gold, arms, metrics = world
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert evaluate(TASK, gold, arms) == metrics
    other = evaluate(TASK, gold, arms, seed=1)
    assert other["arms"]["student"]["macro_f1"] != metrics["arms"]["student"]["macro_f1"]
    exact = [{k: v for k, v in item.items() if k != "macro_f1"} for item in other["comparisons"]]
    assert all(item.items() <= full.items() for item, full in zip(exact, metrics["comparisons"], strict=True))


def test_a_difference_in_macro_f1_is_that_of_the_arms(world):
    _, _, metrics = world
    for item in metrics["comparisons"]:
        scores = [metrics["arms"][item[side]]["macro_f1"]["estimate"] for side in "ab"]
        assert item["macro_f1"]["estimate"] == pytest.approx(scores[0] - scores[1])
        assert item["macro_f1"]["low"] < item["macro_f1"]["estimate"] < item["macro_f1"]["high"]


@settings(max_examples=5)
@given(st.permutations(range(60)))
def test_the_order_of_examples_doesnt_matter(order):
    gold, arms = random_world(60)
    moved = {
        name: arm_of(name, [arm.values[row] for row in order], arm.distributions[order])
        for name, arm in arms.items()
    }
    got = evaluate(TASK, [gold[row] for row in order], moved, resamples=FAST)
    expected = evaluate(TASK, gold, arms, resamples=FAST)
    for name in arms:  # sums of floats in another order
        for key in ("ece", "brier", "ece_low", "ece_high"):
            assert got["arms"][name].pop(key) == pytest.approx(expected["arms"][name].pop(key), abs=1e-9)
        ours, theirs = (metrics["arms"][name].pop("reliability") for metrics in (got, expected))
        assert ours == [pytest.approx(item) for item in theirs]
    assert got == expected


labels = st.sampled_from(TASK.labels)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(labels, st.none() | labels, st.none() | labels), min_size=1, max_size=30), st.data()
)
def test_one_more_right_answer_never_harms(rows, data):
    truth, teacher, student = (list(column) for column in zip(*rows, strict=True))
    gold = gold_of(truth)

    def scored():
        arms = {"teacher": arm_of("teacher", teacher), "student": arm_of("student", student)}
        return evaluate(TASK, gold, arms, resamples=1)

    before = scored()
    student[data.draw(st.integers(0, len(rows) - 1))] = None
    worse = scored()
    wrong = student.index(None)
    student[wrong] = truth[wrong]
    after = scored()
    for key in ("estimate", "low", "high"):
        assert worse["arms"]["student"]["accuracy"][key] <= before["arms"]["student"]["accuracy"][key] + 1e-12
        assert worse["arms"]["student"]["accuracy"][key] < after["arms"]["student"]["accuracy"][key] + 1e-12
        assert (
            worse["comparisons"][0]["difference"][key] <= after["comparisons"][0]["difference"][key] + 1e-12
        )
    assert (
        worse["arms"]["student"]["macro_f1"]["estimate"] <= after["arms"]["student"]["macro_f1"]["estimate"]
    )
    cells = (
        "both_right",
        "student_only_wrong",
        "teacher_only_wrong",
        "both_wrong_same",
        "both_wrong_different",
    )
    assert sum(after["errors"][cell] for cell in cells) == len(rows)


def test_sets_of_labels_match_exactly_or_not_at_all():
    gold = gold_of([("a", "b"), (), ("c",), ("a",)])
    student = arm_of("student", [("a", "b"), (), ("c", "d"), None])
    teacher = arm_of("teacher", [("a",), (), ("c", "d"), ("a",)])
    metrics = evaluate(MULTI, gold, {"student": student, "teacher": teacher}, resamples=FAST)
    scores = metrics["arms"]["student"]
    assert scores["accuracy"]["estimate"] == 0.5
    assert scores["agreement_with_teacher"]["estimate"] == 0.5
    truth, said = MULTI.encode([g.value for g in gold]), MULTI.encode([("a", "b"), (), ("c", "d"), ()])
    present = [0, 1, 2]  # no gold has d, so no arm is averaged over it
    expected = f1_score(truth, said, labels=present, average="macro", zero_division=0)
    assert scores["macro_f1"]["estimate"] == pytest.approx(expected)
    assert scores["labels"]["d"] == {
        "support": 0,
        "precision": 0.0,
        "recall": None,
        "f1": 0.0,
        "precision_low": 0.0,
        "precision_high": pytest.approx(0.975),
        "recall_low": None,
        "recall_high": None,
    }
    named = ("gold", "predicted", "teacher", "student", "shared", "support")
    assert [tuple(item[name] for name in named) for item in metrics["errors"]["confusions"]] == [
        ("c", "c | d", 1, 1, 1, 1),
        ("a | b", "a", 1, 0, 0, 1),
    ]
    assert [item["student"] for item in metrics["worst"]] == ["c | d", None]


def test_an_empty_set_of_labels_is_said_in_words():
    gold = gold_of([("a",), ("b",)])
    metrics = evaluate(MULTI, gold, {"student": arm_of("student", [(), ("b",)])}, resamples=FAST)
    assert metrics["worst"][0]["student"] == "no label"


def test_agreement_counts_only_what_the_teacher_said():
    gold = gold_of(["a", "b", "c", "d"])
    arms = {
        "teacher": arm_of("teacher", ["a", "a", None, "d"]),
        "student": arm_of("student", ["a", "a", None, None]),
    }
    metrics = evaluate(TASK, gold, arms, resamples=FAST)
    agreement = metrics["arms"]["student"]["agreement_with_teacher"]
    assert (agreement["estimate"], agreement["n"]) == (2 / 3, 3)
    assert metrics["arms"]["teacher"]["agreement_with_teacher"] is None


def test_errors_are_told_apart():
    gold = gold_of(["a"] * 8)
    arms = {
        "teacher": arm_of("teacher", ["a", "a", "a", "a", "b", "b", "b", None]),
        "student": arm_of("student", ["a", "a", "a", "c", "b", "c", "a", None]),
    }
    errors = evaluate(TASK, gold, arms, resamples=FAST)["errors"]
    cells = {
        "both_right": 3,
        "student_only_wrong": 1,
        "teacher_only_wrong": 1,
        "both_wrong_same": 1,
        "both_wrong_different": 2,
        "inherited_share": 0.25,
        "lift": 0.75 / 0.25,
    }
    assert {name: errors[name] for name in cells} == cells
    assert (errors["inherited_share_low"], errors["inherited_share_high"]) == proportion_interval(1, 4)
    assert (errors["lift_low"], errors["lift_high"]) == ratio_interval(3, 4, 1, 4)
    assert errors["inherited"]["estimate"] == 1 / 8
    assert errors["control"] is None
    assert errors["confusions_tested"] == 2
    named = ("gold", "predicted", "teacher", "student", "shared", "support")
    assert [tuple(item[name] for name in named) for item in errors["confusions"]] == [
        ("a", "c", 0, 2, 0, 8),
        ("a", "b", 3, 1, 1, 8),
    ]
    assert [item["expected"] for item in errors["confusions"]] == [0.0, 3 / 8]
    table = [[1, 0], [2, 5]]  # of 8 the teacher says "b" to 3, the student to 1, both to 1
    p_value = stats.fisher_exact(table, alternative="greater").pvalue
    assert [item["p_value"] for item in errors["confusions"]] == [1.0, pytest.approx(p_value)]


def test_errors_by_slice_add_up_and_stand_beside_the_controls():
    gold, arms = random_world()
    errors = evaluate(TASK, gold, arms, resamples=FAST)["errors"]
    for cell in ("both_right", "student_only_wrong", "both_wrong_same"):
        assert sum(part[cell] for part in errors["slices"].values()) == errors[cell]
    control = errors["control"]
    of_both = evaluate(
        TASK, gold, {**arms, "student": replace(arms["control"], name="student")}, resamples=FAST
    )
    for name in ("both_right", "both_wrong_same", "inherited", "lift", "lift_low"):
        assert control[name] == of_both["errors"][name]
    assert set(errors["slices"]["critical"]) == set(errors) - {"slices", "confusions", "confusions_tested"}


def test_an_inherited_confusion_is_told_from_a_shared_difficulty():
    """Both err alike on a tenth; what the teacher always says wrongly the student repeats."""
    gold = gold_of(["a"] * 200 + ["b"] * 200)
    bias = ["c"] * 40 + ["a"] * 160
    independent = [["b"] * 20 + ["a"] * 180, ["a"] * 180 + ["b"] * 20]
    hard = ["d" if place % 10 == 0 else "b" for place in range(200)]
    apart = ["d" if place % 10 == 5 else "b" for place in range(200)]
    copied = {"teacher": arm_of("teacher", bias + hard), "student": arm_of("student", bias + apart)}
    found = {
        (item["gold"], item["predicted"]): item["beyond_chance"]
        for item in evaluate(TASK, gold, copied, resamples=FAST)["errors"]["confusions"]
    }
    assert found == {("a", "c"): True, ("b", "d"): False}
    fair = {name: arm_of(name, part + apart) for name, part in zip(copied, independent, strict=True)}
    found = evaluate(TASK, gold, fair, resamples=FAST)["errors"]["confusions"]
    assert [item["beyond_chance"] for item in found if item["gold"] == "a"] == [False]


def test_calibration_before_scaling_stands_beside_that_after():
    gold, arms = random_world()
    sharp = untempered(arms["student"].distributions, 2.0, multi_label=False)
    arms["student"] = replace(arms["student"], temperature=2.0)
    found = evaluate(TASK, gold, arms, resamples=FAST)["arms"]
    raw = evaluate(TASK, gold, {"student": replace(arms["student"], distributions=sharp, temperature=None)})
    assert found["student"]["unscaled"]["temperature"] == 2.0
    for name in ("ece", "brier", "reliability"):
        assert found["student"]["unscaled"][name] == raw["arms"]["student"][name]
    assert found["teacher"]["unscaled"] is None
    assert raw["arms"]["student"]["unscaled"] is None


def test_without_errors_there_is_no_share_or_lift():
    gold = gold_of(["a", "b"])
    arms = {name: arm_of(name, ["a", "b"]) for name in ("teacher", "student")}
    errors = evaluate(TASK, gold, arms, resamples=FAST)["errors"]
    assert (errors["inherited_share"], errors["lift"], errors["confusions"]) == (None, None, [])


def test_the_worst_are_critical_then_confident_errors():
    gold = gold_of(["a"] * 5, ["normal", "critical", "normal", "critical", "normal"])
    probabilities = np.array([[0.1, 0.9], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1]], np.float32)
    task = Classify(("a", "b"))
    student = arm_of("student", task.decide(probabilities), probabilities)
    metrics = evaluate(task, gold, {"student": student}, resamples=FAST)
    assert [item["id"] for item in metrics["worst"]] == ["p3", "p1", "p0", "p2"]
    assert metrics["worst"][0] == {
        "id": "p3",
        "text": "text 3",
        "slice": "critical",
        "gold": "a",
        "teacher": None,
        "control": None,
        "student": "b",
        "confidence": pytest.approx(0.8),
    }
    plain = evaluate(task, gold, {"student": student}, resamples=FAST, critical_slices=())
    assert [item["id"] for item in plain["worst"]] == ["p0", "p3", "p2", "p1"]


def test_at_most_forty_are_listed():
    gold = gold_of(["a"] * 90)
    metrics = evaluate(TASK, gold, {"student": arm_of("student", ["b"] * 90)}, resamples=FAST)
    assert len(metrics["worst"]) == 40


def test_a_recovered_gap_needs_a_gap():
    gold, arms = random_world(accuracy=(0.85, 0.85, 0.85))
    assert evaluate(TASK, gold, arms, resamples=FAST)["gap_recovered"] is None


def test_a_teacher_that_is_never_right_has_nothing_to_retain():
    gold = gold_of(["a", "b"])
    arms = {"teacher": arm_of("teacher", ["b", None]), "student": arm_of("student", ["a", "a"])}
    metrics = evaluate(TASK, gold, arms, resamples=FAST)
    assert metrics["retention"] is None
    assert metrics["errors"]["lift"] is None


def test_one_arm_alone_has_no_comparisons():
    gold, arms = random_world(50)
    metrics = evaluate(TASK, gold, {"student": arms["student"]}, resamples=FAST)
    assert (metrics["comparisons"], metrics["retention"], metrics["errors"]) == ([], None, None)


PROBABILITIES = np.full((2, 4), 0.25, np.float32)


@pytest.mark.parametrize(
    ("gold", "arms", "message"),
    [
        ([], {}, "no example"),
        (["z"], {}, "gold, example 1: 'z' is none"),
        (["a"], {"other": arm_of("other", ["a"])}, "unknown arm 'other'"),
        (["a", "b"], {"student": arm_of("student", ["a"])}, "1 values for 2 examples"),
        (["a", "b"], {"student": arm_of("student", ["a", "z"])}, "example 2: 'z' is none"),
        (["a", "b"], {"student": arm_of("student", ["a", "b"], PROBABILITIES[:, :3])}, r"shape \(2, 3\)"),
        (["a", "b"], {"student": arm_of("student", ["a", "b"], PROBABILITIES * 4)}, "no probabilities"),
        (["a", "b"], {"student": arm_of("student", ["a", "b"], PROBABILITIES - 1)}, "no probabilities"),
    ],
)
def test_arms_that_dont_fit_are_refused(gold, arms, message):
    with pytest.raises(DataError, match=message):
        evaluate(TASK, gold_of(gold), arms)


def test_out_of_scope_is_told_both_ways():
    task = Classify(("a", "b", "none"), out_of_scope="none")
    gold = gold_of(["none", "none", "none", "a", "b", "a", "b"])
    student = arm_of("student", ["none", "none", "a", "a", "none", "a", None])
    scores = evaluate(task, gold, {"student": student}, resamples=FAST)["arms"]["student"]["out_of_scope"]
    assert (scores["found"]["estimate"], scores["found"]["n"]) == (pytest.approx(2 / 3), 3)
    assert (scores["false_alarms"]["estimate"], scores["false_alarms"]["n"]) == (0.25, 4)
    assert scores["found"]["low"] < 2 / 3 < scores["found"]["high"]
    without = evaluate(Classify(task.labels), gold, {"student": student}, resamples=FAST)
    assert without["arms"]["student"]["out_of_scope"] is None


@pytest.fixture(scope="module", params=[EXTRACT, GENERATE], ids=["extract", "generate"])
def open_values(request):
    gold, arms = open_world(request.param)
    return request.param, gold, arms, evaluate(request.param, gold, arms, resamples=FAST)


def _agrees(task, value, reference):
    return value is not None and task.compare(value, reference).agree


def test_open_values_are_right_where_the_task_takes_them_for_as_good_as_gold(open_values):
    task, gold, arms, metrics = open_values
    right = {
        name: np.array([_agrees(task, value, g.value) for value, g in zip(arm.values, gold, strict=True)])
        for name, arm in arms.items()
    }
    for name, flags in right.items():
        got = metrics["arms"][name]
        assert got["accuracy"]["estimate"] == flags.mean() == got["scores"]["accuracy"]
        assert (got["accuracy"]["low"], got["accuracy"]["high"]) == proportion_interval(
            flags.sum(), len(flags)
        )
        assert got["unanswered"] == sum(value is None for value in arms[name].values) > 0
    first = metrics["comparisons"][0]
    assert (first["only_a_right"], first["only_b_right"]) == (
        (right["student"] & ~right["teacher"]).sum(),
        (right["teacher"] & ~right["student"]).sum(),
    )
    assert metrics["retention"]["estimate"] == pytest.approx(
        right["student"].mean() / right["teacher"].mean()
    )


def test_how_well_confidence_ranks_answers_is_sklearns(open_values, world):
    task, gold, arms, metrics = open_values
    for name, arm in arms.items():
        stated = np.array([value is not None for value in arm.values])
        right = np.array([_agrees(task, value, g.value) for value, g in zip(arm.values, gold, strict=True)])
        got = metrics["arms"][name]["confidence_auroc"]
        assert got["estimate"] == pytest.approx(roc_auc_score(right[stated], arm.confidence[stated]))
        assert got["low"] < got["estimate"] < got["high"]
    assert world[2]["arms"]["student"]["confidence_auroc"]["estimate"] < 1
    sure = {"student": Arm("student", "s", [item.value for item in gold], confidence=np.ones(len(gold)))}
    assert evaluate(task, gold, sure, resamples=FAST)["arms"]["student"]["confidence_auroc"] is None


def test_what_needs_labels_is_absent_of_open_values(open_values):
    _, _, _, metrics = open_values
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    student = metrics["arms"]["student"]
    assert (student["labels"], student["ece"], student["reliability"], student["out_of_scope"]) == (
        {},
        None,
        None,
        None,
    )
    assert student["macro_f1"] == {"estimate": None, "low": None, "high": None}
    assert (metrics["errors"]["confusions"], metrics["task"]["labels"]) == ([], [])


def test_errors_of_open_values_are_shared_where_the_wrong_answers_agree():
    gold, _ = open_world(EXTRACT, n=4)
    right, wrong = (
        gold[0].value,
        Fields({**gold[0].value, "about": "login" if gold[0].value["about"] != "login" else "parcel"}),
    )
    reworded = Fields({**wrong, "next_step": wrong["next_step"].replace("now", "today")})
    gold = [type(gold[0])(item.prompt, right) for item in gold]
    arms = {
        "teacher": Arm("teacher", "t", [wrong, wrong, right, None]),
        "student": Arm("student", "s", [reworded, right, wrong, None]),
    }
    cells = evaluate(EXTRACT, gold, arms, resamples=FAST)["errors"]
    assert (cells["both_wrong_same"], cells["both_wrong_different"]) == (1, 1)
    assert (cells["teacher_only_wrong"], cells["student_only_wrong"], cells["both_right"]) == (1, 1, 0)
    assert cells["inherited_share"] == pytest.approx(1 / 3)


def test_a_judges_wrong_score_is_shared_within_its_tolerance_where_both_are_wrong():
    task = Judge(tuple("12345"), "How good?", scored=True, tolerance=1)
    gold = gold_of(["1", "1"])
    arms = {"teacher": arm_of("teacher", ["4", "2"]), "student": arm_of("student", ["5", "3"])}
    cells = evaluate(task, gold, arms, resamples=FAST)["errors"]
    assert (cells["both_wrong_same"], cells["student_only_wrong"]) == (1, 1)


def test_open_values_reach_a_decision_and_a_report(open_values, tmp_path):
    _, gold, arms, metrics = open_values
    decision = release_decision(metrics, ReleaseConfig())
    assert not any("calibration" in item.term for item in decision.evidence)
    asked = release_decision(metrics, ReleaseConfig(max_ece=0.1))
    assert [item.verdict for item in asked.evidence if "calibration" in item.term] == ["not enough evidence"]
    render_report(metrics, decision.to_json(), {}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="labels"' not in page and metrics["worst"][0]["text"] in page
    table = predictions_table(gold, arms).to_pylist()
    assert [row["student"] is None for row in table] == [row["student_confidence"] is None for row in table]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([Fields({"about": "parcel"})] * 120, "example 1: field 'amount' is missing"),
        (["parcel"] * 120, "example 1: its value is str, not a record"),
    ],
)
def test_open_values_that_are_none_of_the_task_are_refused(values, said):
    gold, arms = open_world(EXTRACT)
    with pytest.raises(DataError, match=said):
        evaluate(EXTRACT, gold, {**arms, "student": Arm("student", "s", values)})


@pytest.mark.parametrize("confidence", [np.full(120, 1.5), np.full(119, 0.5)])
def test_a_confidence_that_is_none_is_refused(confidence):
    gold, arms = open_world(GENERATE)
    broken = Arm("student", "s", arms["student"].values, confidence=confidence)
    with pytest.raises(DataError, match=r"in \[0, 1\]"):
        evaluate(GENERATE, gold, {**arms, "student": broken})
