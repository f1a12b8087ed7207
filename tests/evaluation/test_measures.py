"""The tasks' own figures against scikit-learn, statsmodels and brute force."""

import math

import numpy as np
import pytest
from evaluation_world import arm_of, gold_of
from hypothesis import given, settings
from hypothesis import strategies as st
from open_world import EXTRACT, GENERATE, open_world
from scipy.stats import bootstrap
from sklearn.metrics import cohen_kappa_score, f1_score, jaccard_score, precision_score, recall_score
from statsmodels.stats.inter_rater import cohens_kappa

from tutelage.evaluation import Arm, evaluate, proportion_interval
from tutelage.records import Fields, Gold, Prompt
from tutelage.tasks import Classify, Judge

JUDGE = Judge(tuple("12345"), "How good?", scored=True, tolerance=1)
MULTI = Classify(("a", "b", "c"), multi_label=True)
FAST = 60


def judged(n=200, seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.integers(1, 6, size=n)
    gold = gold_of(
        [str(score) for score in truth], np.where(generator.random(n) < 0.3, "hard", "normal").tolist()
    )
    arms = {}
    for name, noise in (("teacher", 0.6), ("control", 1.5), ("student", 0.9)):
        said = np.clip(np.round(truth + generator.normal(0.2, noise, size=n)), 1, 5).astype(int)
        values = [str(score) for score in said]
        values[3] = None
        arms[name] = arm_of(name, values)
    return gold, arms


def label_sets(n=150, seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.random((n, 3)) < 0.4
    said = truth ^ (generator.random((n, 3)) < 0.15)
    sets = [
        [MULTI.value_of([MULTI.labels[i] for i in np.flatnonzero(row)]) for row in rows]
        for rows in (truth, said)
    ]
    return truth, said, gold_of(sets[0]), {"student": arm_of("student", sets[1])}


def test_kappas_are_sklearns():
    gold, arms = judged()
    metrics = evaluate(JUDGE, gold, arms, resamples=FAST)
    for name, arm in arms.items():
        rows = [row for row, value in enumerate(arm.values) if value is not None]
        ours, theirs = [int(arm.values[row]) for row in rows], [int(gold[row].value) for row in rows]
        got = metrics["arms"][name]["measures"]
        for key, weights in (("kappa", None), ("linear_kappa", "linear"), ("quadratic_kappa", "quadratic")):
            assert got[key]["estimate"] == pytest.approx(
                cohen_kappa_score(theirs, ours, weights=weights, labels=range(1, 6))
            )
            assert got[key]["low"] < got[key]["estimate"] < got[key]["high"]
        apart = np.array(ours) - np.array(theirs)
        assert got["mean_distance"]["estimate"] == pytest.approx(np.abs(apart).mean())
        assert got["bias"]["estimate"] == pytest.approx(apart.mean())
        assert got["kappa"]["estimate"] == pytest.approx(metrics["arms"][name]["scores"]["kappa"])
        hard = [row for row in rows if gold[row].prompt.slice == "hard"]
        assert got["quadratic_kappa"]["slices"]["hard"]["estimate"] == pytest.approx(
            cohen_kappa_score(
                [gold[row].value for row in hard],
                [arm.values[row] for row in hard],
                weights="quadratic",
                labels=list("12345"),
            )
        )


def test_label_sets_are_sklearns():
    truth, said, gold, arms = label_sets()
    got = evaluate(MULTI, gold, arms, resamples=FAST)["arms"]["student"]["measures"]
    for key, oracle in (
        ("micro_f1", f1_score(truth, said, average="micro")),
        ("micro_precision", precision_score(truth, said, average="micro")),
        ("micro_recall", recall_score(truth, said, average="micro")),
        ("jaccard", jaccard_score(truth, said, average="samples", zero_division=1.0)),
    ):
        assert got[key]["estimate"] == pytest.approx(oracle)
        assert got[key]["low"] < oracle < got[key]["high"]


def test_intervals_of_records_are_a_bootstrap_over_records():
    gold, arms = open_world(EXTRACT)
    metrics = evaluate(EXTRACT, gold, arms)
    found = [
        list(EXTRACT.outcomes(value, item.value))
        for value, item in zip(arms["student"].values, gold, strict=True)
    ]
    hits, given_, wanted = (
        np.array([sum(flag(o) for o in some) for some in found], dtype=float)
        for flag in (lambda o: o.agree and o.given and o.wanted, lambda o: o.given, lambda o: o.wanted)
    )
    oracle = bootstrap(
        (hits, given_, wanted),
        lambda h, g, w, axis=-1: 2 * h.sum(axis) / (g.sum(axis) + w.sum(axis)),
        paired=True, vectorized=True, method="percentile", n_resamples=4000, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    got = metrics["arms"]["student"]["measures"]["field_f1"]
    assert got["estimate"] == pytest.approx(metrics["arms"]["student"]["scores"]["field_f1"])
    assert (got["low"], got["high"]) == pytest.approx((oracle.low, oracle.high), abs=0.01)


def test_a_field_that_stands_once_has_exact_intervals_and_one_in_lists_hasnt():
    gold, arms = open_world(EXTRACT)
    fields = evaluate(EXTRACT, gold, arms, resamples=400)["arms"]["student"]["fields"]
    assert set(fields) == {"about", "amount", "tags", "next_step"}
    values = arms["student"].values
    pairs = [
        (None if v is None else v["amount"], g.value["amount"]) for v, g in zip(values, gold, strict=True)
    ]
    hits = sum(
        ours is not None and theirs is not None and abs(ours - theirs) <= 0.1 for ours, theirs in pairs
    )
    given_, wanted = (
        sum(ours is not None for ours, _ in pairs),
        sum(theirs is not None for _, theirs in pairs),
    )
    amount = fields["amount"]
    assert (amount["given"], amount["support"]) == (given_, wanted)
    assert (amount["precision"]["estimate"], amount["recall"]["estimate"]) == (hits / given_, hits / wanted)
    assert (amount["recall"]["low"], amount["recall"]["high"]) == proportion_interval(hits, wanted)
    assert amount["f1"]["estimate"] == pytest.approx(2 * hits / (given_ + wanted))
    tags = fields["tags"]
    assert tags["recall"]["low"] < tags["recall"]["estimate"] < tags["recall"]["high"]


def test_an_empty_list_where_nothing_is_finds_nothing():
    gold, _ = open_world(EXTRACT, n=40)
    empty = [Fields({**item.value, "tags": []}) for item in gold]
    fields = evaluate(EXTRACT, gold, {"student": Arm("student", "s", empty)}, resamples=FAST)["arms"][
        "student"
    ]["fields"]
    assert fields["tags"]["support"] == sum(len(item.value["tags"]) for item in gold)
    assert (
        fields["tags"]["given"],
        fields["tags"]["recall"]["estimate"],
        fields["tags"]["f1"]["estimate"],
    ) == (0, 0.0, 0.0)
    assert fields["tags"]["precision"]["estimate"] is None
    assert 0 < fields["tags"]["accuracy"]["estimate"] < 1


def test_texts_have_the_means_of_their_scores_and_paired_differences():
    gold, arms = open_world(GENERATE)
    metrics = evaluate(GENERATE, gold, arms)
    scores = {
        name: np.array(
            [
                0.0 if v is None else GENERATE.compare(v, g.value).score
                for v, g in zip(arm.values, gold, strict=True)
            ]
        )
        for name, arm in arms.items()
    }
    got = metrics["arms"]["student"]["measures"]
    assert set(got) == {"chrf", "rouge_l"}
    assert got["chrf"]["estimate"] == pytest.approx(scores["student"].mean())
    assert got["rouge_l"]["estimate"] == pytest.approx(metrics["arms"]["student"]["scores"]["rouge_l"])
    pair = metrics["comparisons"][0]
    oracle = bootstrap(
        (scores["student"], scores["teacher"]), lambda a, b, axis=-1: (a - b).mean(axis), paired=True,
        method="percentile", n_resamples=4000, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert pair["measures"]["chrf"]["estimate"] == pytest.approx(
        scores["student"].mean() - scores["teacher"].mean()
    )
    assert (pair["measures"]["chrf"]["low"], pair["measures"]["chrf"]["high"]) == pytest.approx(
        (oracle.low, oracle.high), abs=0.015
    )
    slices = got["chrf"]["slices"]
    inside = np.array([item.prompt.slice == "critical" for item in gold])
    assert slices["critical"]["n"] == inside.sum()
    assert slices["critical"]["estimate"] == pytest.approx(scores["student"][inside].mean())


def test_similarity_of_embeddings_counts_where_there_is_an_answer():
    gold, arms = open_world(GENERATE)
    cosines = np.linspace(0.2, 1.0, len(gold))
    arm = Arm("student", "s", arms["student"].values, similarity=cosines)
    answered = np.array([value is not None for value in arm.values])
    got = evaluate(GENERATE, gold, {"student": arm}, resamples=FAST)["arms"]["student"]["measures"]
    assert got["embedding_similarity"]["estimate"] == pytest.approx((cosines * answered).mean())


def test_the_order_of_examples_doesnt_matter():
    gold, arms = open_world(EXTRACT, n=60)
    order = np.random.default_rng(1).permutation(60)
    moved = {name: Arm(name, arm.title, [arm.values[row] for row in order]) for name, arm in arms.items()}
    one = evaluate(EXTRACT, gold, arms, resamples=FAST)
    other = evaluate(EXTRACT, [gold[row] for row in order], moved, resamples=FAST)
    for name in arms:
        for key in ("measures", "fields"):
            ours, theirs = one["arms"][name][key], other["arms"][name][key]
            assert _flat(ours) == pytest.approx(_flat(theirs), nan_ok=True)


def _flat(content):
    if isinstance(content, dict):
        return [number for value in content.values() for number in _flat(value)]
    return [math.nan if content is None else content]


def test_an_arm_that_is_always_right_isnt_sure_of_it():
    gold, _ = open_world(EXTRACT, n=30)
    metrics = evaluate(
        EXTRACT,
        gold,
        {name: Arm(name, name, [item.value for item in gold]) for name in ("teacher", "student")},
        resamples=FAST,
    )
    student = metrics["arms"]["student"]
    assert student["measures"]["field_f1"]["estimate"] == student["measures"]["field_f1"]["high"] == 1.0
    assert student["measures"]["field_f1"]["low"] == pytest.approx(0.025 ** (1 / 30))
    assert student["fields"]["amount"]["f1"]["low"] < student["measures"]["field_f1"]["low"]
    assert metrics["comparisons"][0]["measures"]["field_f1"] == {"estimate": 0.0, "low": None, "high": None}


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 12),
    st.sampled_from(["right", "wrong", "missing", "mixed"]),
    st.sampled_from(["extract", "generate", "judge", "multi"]),
)
def test_degenerate_arms_have_figures_that_are_json_and_in_range(n, how, kind):
    task = {"extract": EXTRACT, "generate": GENERATE, "judge": JUDGE, "multi": MULTI}[kind]
    right, wrong = {
        "extract": (
            Fields({"about": "parcel", "amount": None, "tags": [], "next_step": "Wait."}),
            Fields({"about": "login", "amount": 3, "tags": ["x"], "next_step": "Zzz"}),
        ),
        "generate": ("We wait.", "quux"),
        "judge": ("1", "5"),
        "multi": ((), ("a",)),
    }[kind]
    said = {"right": [right], "wrong": [wrong], "missing": [None], "mixed": [right, wrong, None]}[how]
    gold = [Gold(Prompt(f"p{row}", f"t{row}", slice="ab"[row % 2]), right) for row in range(n)]
    arm = Arm("student", "s", [said[row % len(said)] for row in range(n)])
    metrics = evaluate(task, gold, {"student": arm}, resamples=FAST)["arms"]["student"]
    for item in [
        *metrics["measures"].values(),
        *(i for f in metrics["fields"].values() for i in f.values() if isinstance(i, dict)),
    ]:
        known = [item[end] for end in ("low", "estimate", "high") if item[end] is not None]
        assert all(map(math.isfinite, known)) and known == sorted(known)
    assert all(math.isnan(x) or math.isfinite(x) for x in _flat(metrics["measures"]))


def kappas_of(truth, said, resamples=1):
    gold, arms = (
        gold_of([str(score) for score in truth]),
        {"student": arm_of("student", [str(one) for one in said])},
    )
    return evaluate(JUDGE, gold, arms, resamples=resamples)["arms"]["student"]["measures"]


@pytest.mark.parametrize(
    ("name", "weights"), [("kappa", None), ("linear_kappa", "linear"), ("quadratic_kappa", "fc")]
)
def test_a_kappas_interval_is_as_wide_as_its_variance_says_or_wider(name, weights):
    generator = np.random.default_rng(3)
    truth = generator.integers(1, 6, size=4000)
    said = np.where(generator.random(4000) < 0.6, truth, generator.integers(1, 6, size=4000))
    table = np.zeros((5, 5))
    np.add.at(table, (truth - 1, said - 1), 1)
    oracle = cohens_kappa(table, wt=weights)
    got = kappas_of(truth, said)[name]
    normal = 2 * 1.96 * oracle.var_kappa**0.5
    if weights is None:
        assert got["high"] - got["low"] == pytest.approx(normal, rel=0.05)
    assert 0.97 * normal < got["high"] - got["low"] < 2.5 * normal


def test_kappas_near_one_are_held_by_small_samples():
    """Where percentiles have their lower end above the truth in two samples of five, since most have no error."""
    generator = np.random.default_rng(4)
    shares, erred, draws = np.array([0.05, 0.1, 0.2, 0.3, 0.35]), 0, 60
    truth = 0.95  # what isn't copied is drawn as chance would
    for _ in range(draws):
        one = generator.choice(5, 20, p=shares) + 1
        other = np.where(generator.random(20) < 0.95, one, generator.choice(5, 20, p=shares) + 1)
        got = kappas_of(one, other)["kappa"]
        erred += got["low"] > truth
        assert got["low"] < got["estimate"] <= got["high"] <= 1
    assert erred <= 5


def test_two_raters_who_always_agree_arent_known_to():
    scores = [1, 2, 3, 4, 5] * 5
    for name in ("kappa", "linear_kappa", "quadratic_kappa"):
        got = kappas_of(scores, scores)[name]
        assert got["estimate"] == got["high"] == 1 and got["low"] < 0.9


def test_a_difference_of_kappas_knows_that_both_may_be_alike():
    gold, arms = judged()
    found = evaluate(
        JUDGE, gold, {**arms, "student": arm_of("student", arms["teacher"].values)}, resamples=FAST
    )
    pairs = {(one["a"], one["b"]): one["measures"]["kappa"] for one in found["comparisons"]}
    same, apart = pairs["student", "teacher"], pairs["student", "control"]
    assert same["low"] <= same["estimate"] == 0 <= same["high"] and same["high"] - same["low"] < 0.03
    assert 0 < apart["low"] < apart["estimate"] < apart["high"]
