"""Limits on what running costs: student, the teacher's share of traffic, audit and retraining."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.release.verdicts import Metrics, at_most
from tutelage.gates import Evidence, Verdict


def cost(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Running cost of 1,000 requests against `max_cost_per_1000`, its share of the teacher's against
    `max_cost_share`. The intervals are of assumptions too: no gold example narrows them.
    """
    found = metrics.get("economics")
    if release.max_cost_per_1000 is not None:
        each = None if found is None else found["per_1000"]["cascade"]
        yield _within("running cost of 1,000 requests", each, release.max_cost_per_1000, _dollars)
    if release.max_cost_share is not None:
        share = None if found is None else found["share_of_teacher"]
        yield _within("running cost as a share of the teacher's", share, release.max_cost_share, fmt.percent)


def _within(term: str, found: Metrics | None, limit: float, show: Any) -> Evidence:
    if found is None or found["estimate"] is None:
        return Evidence(term, Verdict.UNDECIDED, f"The {term} wasn't worked out.", limit=limit)
    estimate, low, high = found["estimate"], found["low"], found["high"]
    end = float("inf") if high is None else high
    verdict = at_most(low, end, limit)
    reason = (
        f"The {term} is about {show(estimate)} (95% interval {show(low)} to "
        f"{'without end' if high is None else show(high)}, over what is assumed); at most {show(limit)} is "
        "acceptable."
    )
    if verdict is Verdict.UNDECIDED:
        reason += " Mend: narrow in the section economics what `tutelage economics` says it hangs on most."
    return Evidence(term, verdict, reason, estimate, low, high, limit)


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 0.1 else f"${value:,.4f}"
