"""What the terms share: quantities against limits, and what more examples would probably show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation._planning import extra_examples
from tutelage.evaluation.intervals import CONFIDENCE
from tutelage.evaluation.multiplicity import OneSidedTest, Tested, holm
from tutelage.evaluation.release.quantities import Quantity
from tutelage.gates import Evidence, Verdict

Metrics = Mapping[str, Any]

LEVEL = (1 - CONFIDENCE) / 2  # at which a pass is shown, and a failure too


@dataclass(frozen=True, eq=False)
class Question:
    """Whether a quantity reaches `limit`, or, where `at_most`, stays within it."""

    quantity: Quantity
    limit: float
    at_most: bool = False

    @property
    def reaches(self) -> bool:
        """Whether the estimate is on the side of a pass."""
        estimate = self.quantity.estimate
        return estimate <= self.limit if self.at_most else estimate >= self.limit


@dataclass(frozen=True, slots=True)
class Answered:
    """A question's verdict, its simultaneous interval, and how many more examples would probably decide."""

    verdict: Verdict
    low: float
    high: float
    more: int | None


def answer(questions: Sequence[Question], others: int = 0) -> list[Answered]:
    """Answer all together: the chance that any wrongly passes is at most 2.5%, that any wrongly fails too.

    `others` questions belong to them and were asked where nothing was found.

    Passes and failures are each found by Holm's procedure; the intervals hold together at 95% and contradict
    no verdict (see `multiplicity`). Of one question alone they are the plain ones.
    """
    above = holm(
        [OneSidedTest(q.quantity.above_p(q.limit), q.limit, q.quantity.lower) for q in questions],
        LEVEL,
        others,
    )
    below = holm(
        [OneSidedTest(q.quantity.below_p(q.limit), -q.limit, _negative(q.quantity.upper)) for q in questions],
        LEVEL,
        others,
    )
    return [_answered(*item) for item in zip(questions, above, below, strict=True)]


def _negative(upper: Callable[[float], float]) -> Callable[[float], float]:
    return lambda level: -upper(level)


def _answered(question: Question, above: Tested, below: Tested) -> Answered:
    passed, failed = (below, above) if question.at_most else (above, below)
    low, high = above.low, -below.low + 0.0
    if passed.rejected or failed.rejected:
        return Answered(Verdict.PASS if passed.rejected else Verdict.FAIL, low, high, None)

    is_above = question.quantity.estimate >= question.limit
    level = (above if is_above else below).level

    def decided(examples: int) -> bool:
        found = question.quantity.scaled(examples)
        p_value = found.above_p(question.limit) if is_above else found.below_p(question.limit)
        return p_value <= level

    return Answered(Verdict.UNDECIDED, low, high, extra_examples(decided, round(question.quantity.n)))


def tested(
    term: str, question: Question, answered: Answered, reason: str, examples: str = "gold examples"
) -> Evidence:
    """A question's answer as evidence; `examples`, a plural, are what more of would decide it."""
    n = round(question.quantity.n)
    if answered.verdict is Verdict.UNDECIDED:
        reason += outlook(n, answered.more, question.reaches, examples)
    estimate, limit = question.quantity.estimate, question.limit
    return Evidence(
        term, answered.verdict, reason, estimate, answered.low, answered.high, limit, n, answered.more
    )


def interval_words(family: int) -> str:
    """What to call the interval of one of so many questions answered together."""
    return f"{'simultaneous ' if family > 1 else ''}{percent(CONFIDENCE)} interval"


def at_least(low: float, high: float, limit: float) -> Verdict:
    """Whether a quantity reaches `limit`, by its interval."""
    if low >= limit:
        return Verdict.PASS
    return Verdict.FAIL if high < limit else Verdict.UNDECIDED


def at_most(low: float, high: float, limit: float) -> Verdict:
    """Whether a quantity stays within `limit`, by its interval."""
    return at_least(-high, -low, -limit)


def measured(what: str, value: float | None, limit: float, show: Callable[[Any], str]) -> Evidence:
    """A term that is one number of the student without an interval; undecided where it wasn't measured."""
    if value is None:
        return Evidence(what, Verdict.UNDECIDED, f"Student's {what} wasn't measured.", limit=limit)
    verdict = Verdict.PASS if value <= limit else Verdict.FAIL
    reason = f"Student's {what} is {show(value)}; at most {show(limit)} is acceptable."
    return Evidence(what, verdict, reason, value, limit=limit)


def comparison(metrics: Metrics, other: str) -> Metrics | None:
    """The student compared with another arm, or None where that wasn't evaluated."""
    return next(
        (item for item in metrics["comparisons"] if (item["a"], item["b"]) == ("student", other)), None
    )


def change(difference: float, whom: str) -> str:
    """A difference in accuracy in words: gains 1.2 points over the teacher."""
    if abs(difference) < 0.0005:
        return f"is level with {whom}"
    size = fmt.points(abs(difference), plus=False)
    return f"loses {size} against {whom}" if difference < 0 else f"gains {size} over {whom}"


def percent(confidence: float) -> str:
    """A confidence level, with as many digits as it needs: 95%, 98.33%."""
    return f"{100 * confidence:.4g}%"


def outlook(n: int, more: int | None, towards_pass: bool, examples: str) -> str:
    """What to say of an undecided term: how many further `examples` (a plural) would probably decide it."""
    if more is None:
        return (
            f" {fmt.count(n)} {examples} can't tell, and the estimate lies so near the limit that "
            "more of them hardly would."
        )
    side = "a pass" if towards_pass else "a failure"
    return (
        f" {fmt.count(n)} {examples} can't tell; about {fmt.count(more)} more probably would, towards {side}."
    )
