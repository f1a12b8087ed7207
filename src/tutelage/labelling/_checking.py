"""Teachers may be other packages': what they return is held to the protocol, answer by answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tutelage.errors import TeacherError
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt, Usage, Value, storable

if TYPE_CHECKING:
    from tutelage.tasks import Task

_SUM_TOLERANCE = 0.02  # rounding of shares to two places, not another meaning
_EDGE_TOLERANCE = 1e-3  # below 0 or above 1
_SHOWN = 200  # characters of a value that is not one of the task's

Bound = Callable[[Prompt], float]


def checked(answers: Any, prompts: Sequence[Prompt], task: Task, bound: Bound) -> list[Answer]:
    """The answers, each made fit to be kept: what is wrong with one is its reason, and costs no other.

    A value is what the task admits (`Task.admit`). A distribution that is none is dropped and the value
    stays; so are tokens and repeatability. Without a usable account the cost is `bound` of the prompt, in US
    dollars.

    Raises TeacherError where there isn't one answer for each prompt; it tells what they cost.
    """
    if not isinstance(answers, list | tuple):
        raise TeacherError(
            f"the teacher returned {type(answers).__name__}, not a list of answers. "
            "Mend: see docs/extending.md"
        )
    if len(answers) != len(prompts):
        accounts = [_account(answer) for answer in answers]
        raise TeacherError(
            f"the teacher returned {len(answers)} answers to {len(prompts)} prompts. Mend: it has to return "
            "one for each, in their order",
            spent=sum(account.cost for account in accounts if account is not None),
        )
    doubts = _doubts([getattr(answer, "distribution", None) for answer in answers], task)
    return [
        _checked(answer, doubt, prompt, task, bound)
        for answer, doubt, prompt in zip(answers, doubts, prompts, strict=True)
    ]


def _checked(answer: Any, doubt: str, prompt: Prompt, task: Task, bound: Bound) -> Answer:
    """The answer itself where nothing is wrong with it."""
    account = _account(answer) or Usage(cost=bound(prompt), calls=1)
    if not isinstance(answer, Answer):
        reason = f"the teacher returned {type(answer).__name__} in an Answer's place"
        return Answer(AnswerStatus.UNPARSEABLE, None, raw=_shown(answer), reason=reason, usage=account)
    status, value, fault = _judged(answer, task)
    doubts = [
        doubt and f"its distribution was dropped: {doubt}",
        "" if type(answer.tokens) is bytes else "its tokens were dropped: they are no bytes",
        "" if _is_share(answer.repeatability) else "its repeatability was dropped: it is no share of 1",
    ]
    reasons = [_as_text(answer.reason), fault, *doubts]
    right: dict[str, Any] = {
        "status": status,
        "value": value,
        "origin": DistributionOrigin.NONE if doubt else _origin(answer.origin),
        "raw": _as_text(answer.raw) or (_shown(answer.value) if fault else ""),
        "reason": "; ".join(reason for reason in reasons if reason),
        "model": _as_text(answer.model),
        "usage": account,
        "rationale": _as_text(answer.rationale),
        "tokens": b"" if doubts[1] else answer.tokens,
        "repeatability": None if doubts[2] else answer.repeatability,
    }
    changes = {name: wanted for name, wanted in right.items() if getattr(answer, name) is not wanted}
    if doubt:
        changes["distribution"] = None
    return replace(answer, **changes) if changes else answer


def _judged(answer: Answer, task: Task) -> tuple[AnswerStatus, Value | None, str]:
    """Status and value as they can be kept, and what was wrong with them."""
    try:
        status = AnswerStatus(answer.status)
    except ValueError:
        return AnswerStatus.UNPARSEABLE, None, f"its status {_shown(answer.status)} is none of an answer's"
    if status is not AnswerStatus.OK:
        return status, None, ""
    admitted = task.admit(answer.value)
    return admitted.status, admitted.value, _as_text(admitted.reason)


def _is_share(number: Any) -> bool:
    """Whether it can be a repeatability; None can."""
    return number is None or (type(number) in {float, int} and 0.0 <= number <= 1.0)


def _doubts(rows: Sequence[Any], task: Task) -> list[str]:
    """Why each row is no distribution over the task's labels; empty where it is one, or there is none."""
    import numpy as np

    if not task.labels:
        return ["" if row is None else "the task's values are open" for row in rows]

    doubts = [_misshapen(row, len(task.labels)) for row in rows]
    shaped = [place for place, row in enumerate(rows) if row is not None and not doubts[place]]
    if not shaped:
        return doubts
    shares = np.stack([rows[place].astype(np.float64) for place in shaped])
    with np.errstate(invalid="ignore"):
        summaries = zip(shares.min(axis=1), shares.max(axis=1), shares.sum(axis=1), strict=True)
        for place, (least, most, total) in zip(shaped, summaries, strict=True):
            if not math.isfinite(total):
                doubts[place] = "it holds numbers that are not finite"
            elif least < -_EDGE_TOLERANCE or most > 1 + _EDGE_TOLERANCE:
                doubts[place] = f"it goes from {least:g} to {most:g}, outside 0 to 1"
            elif not task.multi_label and abs(total - 1.0) > _SUM_TOLERANCE:
                doubts[place] = f"its sum is {total:.4g}, not 1"
    return doubts


def _misshapen(row: Any, labels: int) -> str:
    import numpy as np

    if row is None:
        return ""
    if not isinstance(row, np.ndarray) or row.dtype.kind not in "fiub":
        return f"it is {type(row).__name__}, not an array of numbers"
    if row.shape != (labels,):
        return f"its shape is {row.shape}, and there are {labels} labels"
    return ""


def _account(answer: Any) -> Usage | None:
    """An answer's usage in plain numbers; None where it is none that can be booked."""
    usage = getattr(answer, "usage", None)
    if type(usage) is not Usage:
        return None
    counts = (usage.input_tokens, usage.output_tokens, usage.calls)
    amounts = (usage.cost, usage.latency)
    if {*map(type, counts)} == {int} and {*map(type, amounts)} == {float}:
        plain = usage
    else:
        try:
            plain = Usage(
                int(usage.input_tokens),
                int(usage.output_tokens),
                float(usage.cost),
                float(usage.latency),
                int(usage.calls),
            )
        except (TypeError, ValueError, OverflowError):
            return None
    numbers = (plain.input_tokens, plain.output_tokens, plain.calls, plain.cost, plain.latency)
    return plain if all(0 <= number < math.inf for number in numbers) else None


def _origin(origin: Any) -> DistributionOrigin:
    try:
        return DistributionOrigin(origin)
    except ValueError:
        return DistributionOrigin.NONE


def _shown(value: Any) -> str:
    return _as_text(value if isinstance(value, str) else repr(value))[:_SHOWN]


def _as_text(text: Any) -> str:
    """Whatever a teacher gave in a text's place, as text that can be kept."""
    if text is None:
        return ""
    return storable(text if isinstance(text, str) else str(text))
