import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from tutelage.errors import UsageError
from tutelage.serving import Alarm, ConfidenceSequence, sequences


def evidence_after(wrong, limit=0.1, delta=1e-9):
    alarm = Alarm(limit, delta)
    for flag in wrong:
        alarm.add(flag)
    return alarm.evidence


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_evidence_is_on_average_no_more_than_one_under_the_limit(rate, monkeypatch):
    # Every sequence with its probability: exact. At the limit it is a martingale, below it shrinks.
    monkeypatch.setattr(sequences, "_BLOCK", 3)
    mean = sum(
        rate ** sum(wrong) * (1 - rate) ** (len(wrong) - sum(wrong)) * evidence_after(wrong)
        for wrong in itertools.product((False, True), repeat=10)
    )
    assert mean == pytest.approx(1.0, abs=1e-12) if rate == 0.1 else mean < 1.0


def test_weights_of_all_beginnings_are_at_most_one():
    partial = sum(1 / ((j + 1) * math.log(j + 1) ** 2) for j in range(1, 200_001))
    assert partial + 1 / math.log(200_001) < sequences._WEIGHTS_SUM  # the tail is below its integral


def test_a_rate_over_the_limit_rings_and_stays_rung():
    alarm = Alarm(0.02, 0.05)
    flags = [position % 10 == 0 for position in range(2000)]
    rung = [alarm.add(flag) for flag in flags]
    assert alarm.rung_at == rung.index(True) + 1
    assert all(rung[alarm.rung_at - 1 :])
    assert (alarm.trials, alarm.errors) == (2000, 200)
    assert alarm.rung_at < 250


def test_a_late_change_is_found_almost_as_soon_as_an_early_one():
    def wait(good):
        alarm = Alarm(0.02, 0.05)
        flags = [position % 100 == 99 for position in range(good)]
        flags += [position % 12 == 0 for position in range(5000)]
        return next(at for at, flag in enumerate(flags) if alarm.add(flag)) - good

    assert 0 < wait(0) < wait(20_000) < 6 * wait(0)


def test_a_rate_at_half_the_limit_does_not_ring():
    alarm = Alarm(0.02, 0.05)
    assert not any(alarm.add(position % 100 == 50) for position in range(20_000))
    assert alarm.evidence < 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=80), st.lists(st.booleans(), max_size=80))
def test_an_alarm_goes_on_where_it_was_kept(before, after):
    whole, kept = Alarm(0.05, 0.1), Alarm(0.05, 0.1)
    for flag in before:
        whole.add(flag)
        kept.add(flag)
    kept = Alarm.from_json(json.loads(json.dumps(kept.to_json())))
    assert [whole.add(flag) for flag in after] == [kept.add(flag) for flag in after]
    assert whole.to_json() == kept.to_json()


def test_state_of_another_form_is_refused():
    with pytest.raises(UsageError, match="1 sums, and this version keeps"):
        Alarm.from_json({**Alarm(0.1, 0.1).to_json(), "sums": [1.0]})


@pytest.mark.parametrize(("limit", "delta"), [(0.0, 0.05), (1.0, 0.05), (0.02, 0.0), (0.02, 1.0)])
def test_shares_out_of_range_are_refused(limit, delta):
    with pytest.raises(UsageError, match="not between 0 and 1"):
        Alarm(limit, delta)


@pytest.mark.parametrize(("errors", "trials"), [(0, 0), (0, 1), (1, 1), (3, 40), (200, 10_000), (500, 500)])
def test_the_interval_holds_its_estimate_and_ends_where_the_mixture_says(errors, trials):
    low, high = ConfidenceSequence(errors, trials, 0.95).interval()
    assert 0 <= low < high <= 1
    if trials:
        assert low <= errors / trials <= high
    for end in (low, high):
        if 0 < end < 1:
            mixture = betaln(errors + 0.5, trials - errors + 0.5) - betaln(0.5, 0.5)
            likelihood = errors * math.log(end) + (trials - errors) * math.log1p(-end)
            assert mixture - likelihood == pytest.approx(math.log(20), abs=1e-6)


def test_the_interval_shrinks_and_can_be_looked_at_from_the_start():
    widths = []
    for trials in (1, 10, 100, 1000, 100_000):
        low, high = ConfidenceSequence(trials // 10, trials).interval()
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01
    assert ConfidenceSequence().interval() == (0.0, 1.0)


def test_counts_that_can_not_be_are_refused():
    with pytest.raises(UsageError, match="5 errors of 3 trials"):
        ConfidenceSequence(5, 3)
