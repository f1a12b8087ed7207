"""Errors that the student has from its teacher: against gold they are errors, whoever made them first.

Being no worse than the teacher lets all of the teacher's habits pass, since both arms make them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.release.quantities import Share
from tutelage.evaluation.release.verdicts import Metrics, Question, answer, interval_words, tested
from tutelage.gates import Evidence, Verdict

_INHERITED = "share of inherited errors"


def inherited(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The share of gold on which the student repeats a wrong answer, against `max_inherited`."""
    limit = release.max_inherited
    if limit is None:
        return
    if metrics["errors"] is None:
        reason = "The teacher wasn't evaluated, so what the student has from it isn't known."
        yield Evidence(_INHERITED, Verdict.UNDECIDED, reason, limit=limit)
        return
    question = Question(Share(metrics["errors"]["both_wrong_same"], metrics["n"]), limit, at_most=True)
    found = answer([question])[0]
    reason = (
        f"Student repeats a wrong answer of the teacher on {fmt.percent(question.quantity.estimate)} of gold "
        f"({interval_words(1)} {fmt.percent_interval({'low': found.low, 'high': found.high})}); "
        f"at most {fmt.percent(limit)} is acceptable."
    )
    yield tested(_INHERITED, question, found, reason)


def inherited_confusions(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """A failure for each wrong answer that is surely inherited too often; nothing otherwise.

    One that is shared by chance isn't inherited. All confusions are tested together. None passes: of most
    answers gold has too few examples to show that nothing is inherited.
    """
    limit, errors = release.max_inherited_confusion, metrics["errors"]
    if limit is None or errors is None:
        return
    confusions = errors["confusions"]
    others = errors["confusions_tested"] - len(confusions)
    questions = [Question(Share(item["shared"], item["support"]), limit, at_most=True) for item in confusions]
    for item, question, found in zip(confusions, questions, answer(questions, others), strict=True):
        if found.verdict is Verdict.FAIL and item["beyond_chance"]:
            gold, said = fmt.answer(item["gold"]), fmt.answer(item["predicted"])
            ends = fmt.percent_interval({"low": found.low, "high": found.high})
            reason = (
                f"Teacher and student both answer {said!r} to {item['shared']:,} of {item['support']:,} gold "
                f"examples of {gold!r} ({interval_words(2)} {ends}), where chance would have them share "
                f"{item['expected']:.1f}; at most {fmt.percent(limit)} is acceptable. "
                "Mend: correct the teacher's answers of that kind, see `tutelage review`"
            )
            yield tested(f"inherited share of {gold} as {said}", question, found, reason)
