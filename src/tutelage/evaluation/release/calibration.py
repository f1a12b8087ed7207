"""Whether the student's stated confidence can be believed."""

from __future__ import annotations

from collections.abc import Iterator

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation._planning import extra_examples
from tutelage.evaluation.overconfidence import CONFIDENT
from tutelage.evaluation.release.quantities import Share
from tutelage.evaluation.release.verdicts import (
    Metrics,
    Question,
    answer,
    at_most,
    interval_words,
    outlook,
    tested,
)
from tutelage.gates import Evidence, Verdict


def expected_error(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The expected calibration error against `max_ece`; of open values only where the file asks for it.

    What writes gives no probability that an answer is right, so that the default would decide nothing ever.
    """
    has_labels = bool(metrics.get("task", {}).get("labels", True))
    if release.max_ece is not None and (has_labels or "max_ece" in release.model_fields_set):
        yield _expected_error(metrics["arms"]["student"], metrics["n"], release.max_ece)


def confident_errors(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The share of answers that are wrong and sure of themselves, against `max_confident_errors`."""
    limit, term = release.max_confident_errors, "share of confident errors"
    if limit is None:
        return
    stated = ((metrics["errors"] or {}).get("confidence") or {}).get("student")
    if stated is None:
        reason = "The student stated no confidence, or the teacher wasn't evaluated, so none can be found."
        yield Evidence(term, Verdict.UNDECIDED, reason, limit=limit)
        return
    share = stated["confident_errors"]
    question = Question(Share(round(share["estimate"] * share["n"]), share["n"]), limit, at_most=True)
    found = answer([question])[0]
    ends = fmt.percent_interval({"low": found.low, "high": found.high})
    reason = (
        f"Student is wrong and {CONFIDENT:.0%} sure or more in {fmt.percent(share['estimate'])} of its "
        f"answers ({interval_words(1)} {ends}); at most {fmt.percent(limit)} is acceptable."
    )
    yield tested(term, question, found, reason)


def _expected_error(student: Metrics, n: int, limit: float) -> Evidence:
    term = "calibration error (ECE)"
    ece, low, high = student["ece"], student["ece_low"], student["ece_high"]
    if ece is None:
        reason = "The student gave no probabilities, so its calibration can't be judged."
        return Evidence(term, Verdict.UNDECIDED, reason, limit=limit)
    verdict = at_most(low, high, limit)
    reason = (
        f"Student's stated confidence is off by {fmt.fixed(ece)} on average "
        f"(95% interval {fmt.fixed(low)} to {fmt.fixed(high)}); at most {fmt.fixed(limit)} is acceptable."
    )
    more = None
    if verdict is Verdict.UNDECIDED:
        # Bootstrap ends can't be computed for more examples than there are; they close in as 1/sqrt(n).
        far = (high if ece <= limit else low) - ece
        more = extra_examples(lambda m: abs(far) * (n / m) ** 0.5 < abs(limit - ece), n)
        reason += outlook(n, more, ece <= limit, "gold examples")
    return Evidence(term, verdict, reason, ece, low, high, limit, n, more)
