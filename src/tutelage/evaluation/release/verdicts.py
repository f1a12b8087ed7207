"""What the terms share: an interval against a limit, and what more examples would probably show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt
from tutelage.gates import Evidence, Verdict

Metrics = Mapping[str, Any]


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
