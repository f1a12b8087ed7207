from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.inter_rater import cohens_kappa

from tutelage.evaluation import JudgedPair, preference
from tutelage.evaluation.intervals import proportion_interval
from tutelage.evaluation.votes import agreement

ARMS = ("student", "teacher")
SAID = st.sampled_from([*ARMS, "both", "neither"])


def pair(*said, slice_="normal", differs=True, **more):
    return JudgedPair(slice_, differs, dict(zip("ABCDE", said, strict=False)), **more)


def test_a_pair_is_won_by_more_than_half_of_its_votes():
    judged = [
        *[pair("student", "student", "teacher")] * 6,
        *[pair("teacher")] * 2,
        pair("student", "teacher"),
        *[pair("both")] * 3,
        pair("neither", slice_="hard"),
        pair("neither", differs=False),
        pair("both", differs=False),
    ]
    found = preference(judged, ARMS, pairs=50, differing=20)
    assert found["outcomes"] == {"student": 6, "teacher": 2, "both": 3, "neither": 1, "split": 1}
    assert found["pairs"] == {"all": 50, "differ": 20, "judged": 13, "votes": 28}
    test = binomtest(6, 8)
    exact = test.proportion_ci(0.95, "exact")
    assert found["preferred"] == pytest.approx(
        {"estimate": 0.75, "low": exact.low, "high": exact.high, "n": 8}
    )
    assert found["p_value"] == pytest.approx(test.pvalue)
    exact = binomtest(11, 13).proportion_ci(0.95, "exact")
    assert (found["not_worse"]["low"], found["not_worse"]["high"]) == pytest.approx((exact.low, exact.high))
    assert found["net"]["estimate"] == pytest.approx(4 / 13)
    assert found["net_of_all"]["estimate"] == pytest.approx(4 / 13 * 20 / 50)
    assert found["net"]["low"] < 4 / 13 < found["net"]["high"]
    assert [row["slice"] for row in found["slices"]] == ["normal", "hard"]
    assert found["slices"][1]["preferred"] is None
    assert found["agreeing"]["judged"] == 2 and found["agreeing"]["wrong"]["estimate"] == 0.5
    assert found["reviewers"] == {"A": 15, "B": 7, "C": 6}


def test_sides_and_gold_are_told():
    found = preference([pair("student", sides=(1, 0), against_gold=True)] * 9, ARMS, pairs=9, differing=9)
    assert found["first_shown"] == {"first": 9, "second": 0, "p_value": pytest.approx(2 / 2**9)}
    assert found["against_gold"] == 9


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.lists(SAID, min_size=1, max_size=4), st.booleans()), max_size=12))
def test_any_votes_give_numbers_that_hold_together(votes):
    judged = [pair(*said, differs=differs) for said, differs in votes]
    differing = sum(differs for _, differs in votes)
    found = preference(judged, ARMS, pairs=len(judged), differing=differing)
    assert sum(found["outcomes"].values()) == differing == sum(row["judged"] for row in found["slices"])
    for name in ("preferred", "not_worse", "net", "net_of_all"):
        if found[name] is not None:
            assert found[name]["low"] - 1e-12 <= found[name]["estimate"] <= found[name]["high"] + 1e-12
    if found["agreement"] is not None:
        for name in ("alpha", "kappa"):
            value = found["agreement"][name]
            assert value is None or value["estimate"] is None or math.isfinite(value["estimate"])


def test_kappa_of_two_is_that_of_statsmodels():
    table = [[20, 5], [10, 15]]
    units = [
        {"Ada": one, "Ben": other}
        for one, row in zip("xy", table, strict=True)
        for other, count in zip("xy", row, strict=True)
        for _ in range(count)
    ]
    found = agreement([*units, {"Ada": "x"}])
    oracle = cohens_kappa(table)
    assert found["units"] == 50 and found["same"] == pytest.approx(35 / 50)
    assert found["kappa"]["estimate"] == pytest.approx(oracle.kappa)
    # Its interval is asymptotic and takes chance for estimated too; of few units ours is wider.
    assert found["kappa"]["high"] - found["kappa"]["low"] > oracle.kappa_upp - oracle.kappa_low
    many, oracle = agreement(units * 20)["kappa"], cohens_kappa([[20 * n for n in row] for row in table])
    assert many["low"] == pytest.approx(oracle.kappa_low, abs=0.01)
    assert many["high"] == pytest.approx(oracle.kappa_upp, abs=0.01)


def test_twenty_pairs_that_agree_dont_make_a_kappa_of_one():
    units = [{"Ada": said, "Ben": said} for said in "xy" * 10]
    kappa = agreement(units)["kappa"]
    assert kappa["estimate"] == kappa["high"] == 1.0
    assert kappa["low"] == pytest.approx(1 - (1 - proportion_interval(20, 20)[0]) / 0.5)


def test_three_reviewers_have_an_alpha_and_no_kappa():
    units = [{"Ada": "x", "Ben": "x", "Eve": "y"}, {"Ada": "y", "Ben": "y"}, {"Eve": "x"}]
    found = agreement(units)
    assert (found["units"], found["reviewers"], found["kappa"]) == (2, 3, None)
    assert found["same"] == pytest.approx(4 / 8)


def test_nothing_is_known_without_two_votes_or_two_answers():
    assert agreement([{"Ada": "x"}, {"Ben": "x"}]) is None
    assert agreement([]) is None
    alike = agreement([{"Ada": "x", "Ben": "x"}] * 5)
    assert alike["same"] == 1.0 and alike["alpha"]["estimate"] is None and alike["kappa"]["estimate"] is None


def units_of(table):
    return [
        {"Ada": str(one), "Ben": str(other)}
        for one, row in enumerate(table)
        for other, count in enumerate(row)
        for _ in range(count)
    ]


def test_on_a_scale_kappa_is_statsmodels_with_quadratic_weights():
    table = [[20, 5, 1, 0], [4, 15, 6, 0], [0, 5, 12, 3], [0, 0, 4, 9]]
    found = agreement(units_of(table), scale=["0", "1", "2", "3"])
    oracle = cohens_kappa(table, wt="quadratic")
    assert found["weights"] == "ordinal"
    assert found["kappa"]["estimate"] == pytest.approx(oracle.kappa)
    assert found["kappa"]["low"] < oracle.kappa_low < oracle.kappa_upp < found["kappa"]["high"]
    assert found["alpha"]["low"] < found["alpha"]["estimate"] < found["alpha"]["high"] <= 1
    assert found["alpha"]["estimate"] > agreement(units_of(table))["alpha"]["estimate"]


def test_a_scale_minds_how_far_apart_scores_are_and_which_are_between():
    near = [{"Ada": str(n % 5), "Ben": str(min(4, n % 5 + 1))} for n in range(40)]
    far = [{"Ada": str(n % 5), "Ben": str((n + 2) % 5)} for n in range(40)]
    scale = [str(n) for n in range(5)]
    for name in ("alpha", "kappa"):
        assert agreement(near, scale=scale)[name]["estimate"] > 0.7
        assert agreement(far, scale=scale)[name]["estimate"] < 0.1
        assert agreement(near)[name]["estimate"] < 0.1, "by name alone hardly any are the same"
    # Scores that nobody gives don't bring those beside them nearer for kappa, whose weights are the scale's.
    ends = [{"Ada": "0", "Ben": "4"}, *[{"Ada": said, "Ben": said} for said in "04" * 10]]
    assert agreement(ends, scale=scale)["kappa"] == agreement(ends)["kappa"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("12345"), min_size=1, max_size=4), max_size=12))
def test_any_scores_give_numbers_that_hold_together(said):
    found = agreement([dict(zip("ABCD", unit, strict=False)) for unit in said], scale=list("12345"))
    if found is None:
        return
    for name in ("alpha", "kappa"):
        value = found[name]
        if value is not None and value["estimate"] is not None:
            assert value["low"] <= value["estimate"] + 1e-9 and value["estimate"] <= value["high"] + 1e-9
