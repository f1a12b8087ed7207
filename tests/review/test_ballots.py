from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutelage.records import Fields, Prompt
from tutelage.review import Ballot, drawn


def ballot(number: int, slice_: str = "normal", answers=("yes", "no")) -> Ballot:
    return Ballot(Prompt(str(number), f"prompt {number}", "", slice_), None, answers)


@pytest.mark.parametrize(
    "answers", [("yes", "no"), (("a",), ("a", "b")), (Fields({"x": 1}), None), (None, "yes")]
)
def test_a_ballot_is_known_by_its_words_and_not_by_whose_they_are(answers):
    one, other = ballot(1, answers=answers), ballot(1, answers=answers[::-1])
    assert one.key == other.key and one.differs
    assert one.key != ballot(2, answers=answers).key
    for reviewer in ("Ada", "Ben", "Eve"):
        assert one.shown(reviewer) == other.shown(reviewer) == one.shown(reviewer)


def test_sides_are_a_fair_coin_for_each_reviewer():
    firsts = Counter(ballot(n).shown(name)[0] for n in range(2_000) for name in ("Ada", "Ben"))
    assert abs(firsts["yes"] - 2_000) < 4 * 1_000**0.5
    both = Counter((ballot(n).shown("Ada")[0], ballot(n).shown("Ben")[0]) for n in range(2_000))
    assert all(abs(count - 500) < 4 * 375**0.5 for count in both.values())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=80), st.integers(0, 2**31))
def test_each_beginning_has_its_share_of_every_slice(slices, seed):
    ballots = [ballot(n, name) for n, name in enumerate(slices)]
    order = drawn(ballots, seed)
    assert sorted(order, key=lambda one: one.key) == sorted(ballots, key=lambda one: one.key)
    assert order == drawn(ballots[::-1], seed)
    whole = Counter(slices)
    for n in range(1, len(order)):
        here = Counter(one.prompt.slice for one in order[:n])
        for name, count in whole.items():
            assert abs(here[name] - n * count / len(order)) < len(whole)


def test_every_ballot_is_equally_likely_to_be_early():
    """A slice of one is neither sure to come early nor late."""
    ballots = [ballot(n, "large") for n in range(19)] + [ballot(99, "small")]
    seeds = 4_000
    early = Counter(one.prompt.id for seed in range(seeds) for one in drawn(ballots, seed)[:5])
    for one in ballots:
        assert abs(early[one.prompt.id] - seeds / 4) < 5 * (seeds * 0.25 * 0.75) ** 0.5
