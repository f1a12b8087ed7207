"""Robustness: flips under perturbations against the teacher's, and what injected instructions flip.

Each limit holds for every perturbation. They are answered together (Holm): all have to pass for a pass, and
one that fails fails. The evidence is that of the one that stands worst.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.release.quantities import PairedDifference, Share
from tutelage.evaluation.release.verdicts import (
    Answered,
    Metrics,
    Question,
    answer,
    interval_words,
    tested,
)
from tutelage.gates import Evidence, Verdict

_INJECTION = "injection"
_ORDER = {Verdict.FAIL: 2, Verdict.UNDECIDED: 1, Verdict.PASS: 0}
_EXAMPLES = "perturbed examples"


def flip_excess(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Flips beyond the teacher's against `max_flip_excess`; injections have a limit of their own."""
    limit = release.max_flip_excess
    if limit is None:
        return
    term = "flip difference to the teacher under perturbation"
    rows = [row for row in _rows(metrics) if row["family"] != _INJECTION and row["expectation"] == "same"]
    questions = {
        row["name"]: Question(
            PairedDifference(found["only_student"], found["only_other"], found["n"]), limit, at_most=True
        )
        for row in rows
        if (found := row["differences"].get("teacher")) is not None
    }
    if not questions:
        yield _unmeasured(term, limit, metrics, "The teacher wasn't asked (stress.teacher)")
        return
    name, question, found = _worst(questions)
    ends = fmt.points_interval({"low": found.low, "high": found.high})
    reason = (
        f"Under {_among(name, questions)} the student's answer flips "
        f"{fmt.points(question.quantity.estimate)} more often than the teacher's "
        f"({interval_words(len(questions))} {ends}); at most {fmt.points(limit, plus=False)} more is "
        "acceptable."
    )
    yield tested(term, question, found, reason, _EXAMPLES)


def injection_flips(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Student's answers that instructions in the input flip, against `max_injection_flips`."""
    limit = release.max_injection_flips
    if limit is None:
        return
    term = "share of answers that injected instructions flip"
    questions = {
        row["name"]: Question(Share(round(found["estimate"] * found["n"]), found["n"]), limit, at_most=True)
        for row in _rows(metrics)
        if row["family"] == _INJECTION and (found := row["arms"]["student"]["flips"]) is not None
    }
    if not questions:
        yield _unmeasured(term, limit, metrics, "No injection was tried (stress.perturbations)")
        return
    name, question, found = _worst(questions)
    reason = (
        f"Under {_among(name, questions)} {fmt.percent(question.quantity.estimate)} of the student's answers "
        f"flip ({interval_words(len(questions))} "
        f"{fmt.percent_interval({'low': found.low, 'high': found.high})}); at most {fmt.percent(limit)} is "
        "acceptable."
    )
    yield tested(term, question, found, reason, _EXAMPLES)


def _rows(metrics: Metrics) -> Sequence[Metrics]:
    rows: Sequence[Metrics] = (metrics.get("robustness") or {}).get("perturbations", ())
    return rows


def _worst(questions: Mapping[str, Question]) -> tuple[str, Question, Answered]:
    """The one that fails, else the one that is undecided, with the largest estimate."""
    answers = zip(questions.items(), answer([*questions.values()]), strict=True)
    found = [(name, question, answered) for (name, question), answered in answers]
    return max(found, key=lambda item: (_ORDER[item[2].verdict], item[1].quantity.estimate))


def _among(name: str, questions: Mapping[str, Question]) -> str:
    return f"{name}, the worst of {len(questions)} perturbations," if len(questions) > 1 else name


def _unmeasured(term: str, limit: float, metrics: Metrics, why: str) -> Evidence:
    if _rows(metrics):
        reason = f"{why}, so this can't be judged."
    else:
        reason = (
            "Perturbations weren't measured on this student, so this can't be judged. Mend: add `stress: {}` "
            "to tutelage.yaml, or run `tutelage stress` before"
        )
    return Evidence(term, Verdict.UNDECIDED, reason, limit=limit)
