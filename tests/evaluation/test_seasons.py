from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from tutelage.evaluation.seasons import chi_squares, rare, recent, seasons

_START = 1_767_225_600.0  # Thursday, 1 January 2026, 00:00 UTC
_NAMES = ("card", "transfer", "top up", "fees")


def _traffic(n: int = 3_000, days: int = 90, seed: int = 0):
    generator = np.random.default_rng(seed)
    return generator.integers(4, size=n).astype(np.int32), _START + generator.uniform(0, days * 86_400, n)


def test_a_cluster_that_comes_on_weekends_is_found_and_nothing_else():
    clusters, times = _traffic()
    weekend = (times - _START) // 86_400 % 7 >= 2
    weekend &= (times - _START) // 86_400 % 7 < 4  # from a Thursday on
    clusters[weekend & (np.random.default_rng(1).random(len(times)) < 0.25)] = 3
    found = seasons(clusters, times, _NAMES, shuffles=300)
    first = found["changed"][0]
    assert (first["name"], first["kind"]) == ("fees", "weekday")
    assert first["peak"]["period"] in ("Saturday", "Sunday")
    assert first["peak"]["low"] > first["rest"]
    assert {one["kind"] for one in found["changed"]} == {"weekday"}
    assert set(found["kinds"]) == {"hour", "weekday", "month"}
    assert list(found["kinds"]["month"]) == ["2026-01", "2026-02", "2026-03"]
    assert found["tested"] == 12
    assert sum(period["n"] for period in first["periods"]) == found["n"] == 3_000


def test_where_nothing_changes_something_is_found_in_a_twentieth_of_cases_at_most():
    found = [seasons(*_traffic(300, seed=seed), _NAMES, seed=seed, shuffles=99) for seed in range(20)]
    assert sum(bool(one["changed"]) for one in found) <= 4  # 1 expected; more than 4 in 1 of 400


def test_hours_are_of_the_day_in_utc():
    clusters, times = _traffic(2_000, days=10)
    clusters[(times % 86_400) < 6 * 3_600] = 1
    found = seasons(clusters, times, _NAMES, shuffles=200)
    by_name = {(one["name"], one["kind"]): one for one in found["changed"]}
    assert by_name["transfer", "hour"]["peak"]["period"] < "06:00"
    assert set(found["kinds"]) == {"hour"}  # ten days tell neither weekdays nor months


def test_of_one_customer_a_day_counts_once():
    clusters, times = _traffic(400)
    burst = _START + 3.5 * 86_400 + np.arange(200)
    clusters, times = np.concatenate([clusters, np.zeros(200, np.int32)]), np.concatenate([times, burst])
    found = seasons(clusters, times, _NAMES, subjects=[""] * 400 + ["customer 7"] * 200, shuffles=50)
    assert found["n"] == 401 and not found["changed"]


def test_a_single_burst_is_no_season_whoever_sent_it():
    clusters, times = _traffic(1_000)
    burst = _START + 6 * 86_400 + np.arange(60)  # a Wednesday
    clusters, times = np.concatenate([clusters, np.full(60, 3, np.int32)]), np.concatenate([times, burst])
    assert not seasons(clusters, times, _NAMES, shuffles=200)["changed"]


def test_the_statistic_is_pearsons():
    clusters, times = _traffic(500)
    codes = (times // 86_400 % 7).astype(np.int64)
    found = chi_squares(clusters.astype(np.int64), codes, 5, 7)
    for cluster in range(4):
        table = [np.bincount(codes[(clusters == cluster) == flag], minlength=7) for flag in (True, False)]
        assert found[cluster] == pytest.approx(chi2_contingency(table, correction=False).statistic)
    assert found[4] == 0.0  # one without a text


def test_without_times_enough_nothing_is_said():
    clusters, times = _traffic(200)
    assert seasons(clusters, np.full(200, np.nan), _NAMES) is None
    assert seasons(clusters[:50], times[:50], _NAMES) is None
    assert seasons(clusters, np.full(200, _START), _NAMES) is None
    half = times.copy()
    half[:60] = np.nan
    assert seasons(clusters, half, _NAMES, shuffles=20)["n"] == 140


def test_a_new_cluster_and_one_that_grew_are_told():
    clusters = np.array([0] * 500 + [1] * 480 + [2] * 20 + [0] * 60 + [2] * 20 + [3] * 20, np.int32)
    late = np.arange(len(clusters)) >= 1_000
    found = recent(clusters, late, _NAMES)
    assert {one["name"]: one["state"] for one in found["changed"]} == {
        "transfer": "shrunk",
        "top up": "grown",
        "fees": "new",
    }
    assert (found["n_now"], found["n_before"]) == (100, 1_000)
    assert recent(clusters, np.zeros(len(clusters), bool), _NAMES) is None


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_rare_clusters_hold_a_tenth_at_most(sizes):
    total = sum(sizes)
    shares = {number: size / total if total else 0.0 for number, size in enumerate(sizes)}
    found = rare(shares)
    assert sum(shares[cluster] for cluster in found) <= 0.1 + 1e-9
    if total:
        assert len(found) < len(shares)
