"""Which requests are put before people, and what verdicts come to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from captured import made
from hypothesis import given
from hypothesis import strategies as st

from tutelage.serving.reviews import (
    Reviewed,
    ReviewItem,
    ReviewPolicy,
    ReviewVerdict,
    Why,
    agreed_value,
    value_of,
)


def test_what_is_drawn_at_random_is_a_share_of_all_and_knows_nothing_of_the_answers() -> None:
    policy = ReviewPolicy(random=0.1)
    captures = [
        made(agree=bool(number % 2), reason="below threshold" if number % 3 else "")
        for number in range(3_000)
    ]
    drawn = [policy.why(capture) is Why.RANDOM for capture in captures]
    assert 0.08 < sum(drawn) / len(drawn) < 0.12
    others = [policy.why(replace(capture, agree=None, reason="")) is Why.RANDOM for capture in captures]
    assert others == drawn
    larger = ReviewPolicy(random=0.2)
    assert all(larger.why(c) is Why.RANDOM for c, was_drawn in zip(captures, drawn, strict=True) if was_drawn)
    assert all(ReviewPolicy(random=1.0).why(capture) is Why.RANDOM for capture in captures)
    assert not any(ReviewPolicy(random=0.0).why(capture) is Why.RANDOM for capture in captures)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"agree": True}, None),
        ({"agree": False}, Why.DISAGREEMENT),
        ({"by": "teacher", "reason": "below threshold"}, Why.ESCALATION),
        ({"by": "teacher", "reason": "not in the canary's share"}, None),
        ({"by": "nobody", "reason": "teacher unavailable"}, Why.NOBODY),
    ],
)
def test_why_a_request_is_put_before_people(changes: dict[str, object], why: Why | None) -> None:
    assert ReviewPolicy().why(made(**changes)) is why
    assert ReviewPolicy(random=1.0).why(replace(made(**changes), text=None)) is None, "its text was not kept"


def test_where_nobody_answered_a_verdict_is_urgent() -> None:
    policy, capture = ReviewPolicy(urgent=60.0, due=3_600.0), made(at=1_000.0)
    assert policy.due_at(capture, Why.NOBODY) == 1_060.0
    assert policy.due_at(capture, Why.DISAGREEMENT) == 4_600.0


def test_the_most_valuable_are_sure_errors_then_what_the_student_was_unsure_of() -> None:
    ordered = [
        made(agree=False, confidence=0.99),
        made(agree=False, confidence=0.4),
        made(reason="below threshold", confidence=0.2),
        made(reason="below threshold", confidence=0.6),
        made(confidence=0.9),
        made(confidence=0.99, agree=True),
    ]
    values = [value_of(capture) for capture in ordered]
    assert values == sorted(values, reverse=True) and len(set(values)) == len(values)
    assert value_of(made(confidence=None)) == 1.0 and value_of(made(confidence=float("nan"))) >= 0


def verdicts(*values: str | None) -> tuple[ReviewVerdict, ...]:
    return tuple(
        ReviewVerdict("c", f"r{number}", float(number), value) for number, value in enumerate(values)
    )


@given(st.lists(st.sampled_from(['"a"', '"b"', None]), max_size=7))
def test_agreed_is_what_more_than_half_say(values: list[str | None]) -> None:
    agreed = agreed_value(verdicts(*values))
    said = ["null" if value is None else value for value in values]
    winners = [value for value in set(said) if 2 * said.count(value) > len(said)]
    assert agreed == (winners[0] if winners else None)


def test_agreement_is_measured_on_those_who_did_not_know_of_each_other() -> None:
    item = ReviewItem(made(), Why.DISAGREEMENT, 1.0, wanted=3, independent=2)
    reviewed = Reviewed(item, verdicts('"a"', None, '"a"'))
    assert reviewed.independent == {"r0": '"a"', "r1": "null"}
    assert reviewed.agreed == reviewed.verdicts[0]
    assert Reviewed(item, verdicts('"a"', '"b"')).agreed is None
    assert item.overdue(2.0) and not item.overdue(0.5) and not replace(item, closed=1.5).overdue(2.0)
