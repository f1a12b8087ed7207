import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from tutelage.errors import DataError, UsageError
from tutelage.serving import (
    Among,
    Bound,
    CalibrationPart,
    Certified,
    NotCertified,
    Reference,
    certify,
    threshold_list,
)
from tutelage.serving.learn_then_test import fewest


def part_of(confidence, wrong, slices=(), teacher=None):
    flags = {Reference.GOLD: np.array(wrong, bool)}
    if teacher is not None:
        flags[Reference.TEACHER] = np.array(teacher, bool)
    return CalibrationPart(np.array(confidence, float), flags, slices)


def overconfident(generator, size):
    confidence = generator.beta(6, 1, size)
    return confidence, generator.random(size) > confidence**1.3


@pytest.mark.parametrize("among", list(Among))
def test_a_bound_is_broken_no_more_often_than_promised(among):
    generator = np.random.default_rng(3)
    apart, _ = overconfident(generator, 4000)
    whole, whole_wrong = overconfident(generator, 200_000)
    bound, delta, draws = Bound(0.05, among=among), 0.1, 200
    thresholds = threshold_list(apart, {None: 800}, [bound], delta)
    broken = found = 0
    for _ in range(draws):
        outcome = certify(part_of(*overconfident(generator, 800)), [bound], thresholds, delta)
        if isinstance(outcome, Certified):
            found += 1
            answered = whole >= outcome.threshold
            under = len(whole) if among is Among.ALL else answered.sum()
            broken += (answered & whole_wrong).sum() / under > bound.limit
    assert broken <= binom.ppf(0.999, draws, delta)
    assert found > draws / 3
    assert among is Among.ANSWERED or broken > 0  # not so cautious that it says nothing


def test_the_laxest_of_those_that_pass_in_a_row_is_taken():
    confidence = np.linspace(0.001, 1, 1000)
    wrong = confidence < 0.3
    thresholds = np.array([0.9, 0.5, 0.25, 0.1])
    outcome = certify(part_of(confidence, wrong), [Bound(0.1)], thresholds)
    assert isinstance(outcome, Certified)
    assert (outcome.threshold, outcome.answered, outcome.n) == (0.25, 751, 1000)
    [claim] = outcome.claims
    assert (claim.n, claim.wrong) == (751, 50)
    assert claim.p_value == pytest.approx(binomtest(50, 751, 0.1, alternative="less").pvalue)
    assert claim.upper == pytest.approx(
        binomtest(50, 751, alternative="less").proportion_ci(0.95, "exact").high
    )


def test_the_test_stops_at_the_first_that_fails():
    confidence = np.linspace(0.001, 1, 1000)
    wrong = (confidence > 0.8) & (confidence < 0.9)
    outcome = certify(part_of(confidence, wrong), [Bound(0.2)], np.array([0.95, 0.85, 0.0]))
    assert isinstance(outcome, Certified)
    assert outcome.threshold == 0.95  # 0.0 would hold the bound, and comes too late


def test_of_several_bounds_each_has_to_hold():
    confidence = np.linspace(0.001, 1, 2000)
    part = part_of(confidence, confidence < 0.1, teacher=confidence < 0.6)
    lax = certify(part, [Bound(0.05)], threshold_list(confidence, {None: 2000}, [Bound(0.05)], 0.05))
    both = [Bound(0.05), Bound(0.05, Reference.TEACHER, Among.ALL)]
    strict = certify(part, both, threshold_list(confidence, {None: 2000}, both, 0.05))
    assert isinstance(lax, Certified) and isinstance(strict, Certified)
    assert strict.threshold > lax.threshold
    assert [claim.bound for claim in strict.claims] == both
    assert all(claim.p_value <= 0.05 and claim.upper <= claim.bound.limit for claim in strict.claims)


def test_a_bound_on_a_slice_counts_that_slice_alone():
    confidence = np.tile(np.linspace(0.01, 1, 500), 2)
    slices = ["normal"] * 500 + ["hard"] * 500
    wrong = [False] * 500 + [value < 0.7 for value in confidence[500:]]
    part = part_of(confidence, wrong, slices)
    thresholds = np.array([0.5, 0.3])
    [claim] = certify(part, [Bound(0.4, slice="hard")], thresholds).claims
    assert (claim.n, claim.wrong) == (
        int((confidence[500:] >= 0.5).sum()),
        int((confidence[500:] >= 0.5).sum() - (confidence[500:] >= 0.7).sum()),
    )
    assert isinstance(certify(part, [Bound(0.4)], thresholds), Certified)


def test_no_threshold_says_how_many_prompts_would_do():
    confidence = np.full(100, 0.9)
    wrong = np.arange(100) == 0
    outcome = certify(part_of(confidence, wrong), [Bound(0.02)], np.array([0.5]))
    assert isinstance(outcome, NotCertified)
    assert outcome.needed is not None
    n = outcome.needed
    assert binom.cdf(np.ceil(0.01 * n), n, 0.02) <= 0.05
    assert 100 < n < 2000
    hopeless = certify(part_of(confidence, np.arange(100) < 5), [Bound(0.02)], np.array([0.5]))
    assert isinstance(hopeless, NotCertified) and hopeless.needed is None


def test_what_states_no_confidence_is_never_answered():
    confidence = np.array([np.nan, 0.9] * 400)
    outcome = certify(part_of(confidence, np.isnan(confidence)), [Bound(0.02)], np.array([0.0]))
    assert isinstance(outcome, Certified)
    assert outcome.answered == 400


@pytest.mark.parametrize("errors", [0, 1, 5])
@pytest.mark.parametrize("limit", [0.01, 0.1, 0.5])
def test_fewest_is_the_smallest_number_that_holds(limit, errors):
    n = fewest(Bound(limit), 0.05, errors)
    assert binom.cdf(errors, n, limit) <= 0.05 < binom.cdf(errors, n - 1, limit)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.just(float("nan")), st.floats(0, 1)), min_size=1, max_size=300),
    st.sampled_from(list(Among)),
)
def test_thresholds_descend_without_repeats_and_are_stated_confidences(confidence, among):
    given_ = np.array(confidence)
    if np.isnan(given_).all():
        with pytest.raises(DataError, match="no prompt has a stated confidence"):
            threshold_list(given_, {None: 1000}, [Bound(0.02, among=among)], 0.05)
        return
    thresholds = threshold_list(given_, {None: 1000}, [Bound(0.02, among=among)], 0.05)
    assert (np.diff(thresholds) < 0).all()
    assert set(thresholds) <= set(given_[~np.isnan(given_)])
    assert thresholds[-1] == np.nanmin(given_)
    if among is Among.ANSWERED:  # the strictest bears two errors
        assert (given_ >= thresholds[0]).mean() >= min(
            fewest(Bound(0.02), 0.05, 2) / 1000, (~np.isnan(given_)).mean()
        ) - 1e-9


@pytest.mark.parametrize(
    ("bounds", "delta", "message"),
    [
        ([], 0.05, "without a bound"),
        ([Bound(0.1, Reference.TEACHER)], 0.05, "no errors against teacher"),
        ([Bound(0.1, slice="x")], 0.05, "no prompt of slice 'x'"),
        ([Bound(0.1)], 1.0, "delta 1"),
    ],
)
def test_what_can_not_be_certified_is_refused(bounds, delta, message):
    with pytest.raises(UsageError, match=message):
        certify(part_of([0.5], [False]), bounds, np.array([0.1]), delta)
    with pytest.raises(UsageError, match="no threshold to test"):
        certify(part_of([0.5], [False]), [Bound(0.1)], np.array([]))


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(DataError, match="columns of 1, 2 rows"):
        part_of([0.5, 0.5], [False])
    with pytest.raises(UsageError, match="a bound of 1 is not"):
        Bound(1.0)
