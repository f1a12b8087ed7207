"""Which answers are most worth a person's look, and the file in which they are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.records import Answer, AnswerStatus, Prompt, dump_value
from tutelage.review.sheet import read_sheet, shown, write_sheet
from tutelage.review.verdicts import HASH, is_empty

COLUMNS = ("id", "text", "teacher", "confidence", "why", "label", HASH)
_DOUBTFUL_MARGIN = 0.5  # between the two most probable labels; from there on a margin is no reason


@dataclass(frozen=True, slots=True)
class Doubt:
    """An answer and why to look at it. `urgency` in [0, 1]; `confidence` is the top probability, or None."""

    prompt: Prompt
    answer: Answer
    urgency: float
    why: str
    confidence: float | None


def most_doubtful(pairs: Iterable[tuple[Prompt, Answer]], *, multi_label: bool, most: int) -> list[Doubt]:
    """The `most` most doubtful answers, most doubtful first, ties in the order given.

    Doubtful is what is quarantined (urgency 1), what samples or members of an ensemble disagree on (1 less
    the share of agreeing pairs), and where the distribution hardly decides: a small margin between the two
    most probable labels, or with several labels a probability near one half. The largest of these counts.
    """
    doubts = [doubt for prompt, answer in pairs if (doubt := _doubt(prompt, answer, multi_label)) is not None]
    return sorted(doubts, key=lambda doubt: -doubt.urgency)[:most]


def _doubt(prompt: Prompt, answer: Answer, multi_label: bool) -> Doubt | None:
    margin, confidence = _margin(answer, multi_label)
    reasons: list[tuple[float, str]] = []
    if answer.status is not AnswerStatus.OK:
        reasons.append((1.0, f"{answer.status}: {answer.reason}" if answer.reason else str(answer.status)))
    if answer.repeatability is not None and answer.repeatability < 1.0:
        reasons.append((1.0 - answer.repeatability, f"{answer.repeatability:.0%} of pairs of answers agree"))
    if margin is not None and margin < _DOUBTFUL_MARGIN:
        reasons.append((1.0 - margin, f"margin of {margin:.2f}"))
    if not reasons:
        return None
    why = "; ".join(text for _, text in reasons)
    return Doubt(prompt, answer, max(urgency for urgency, _ in reasons), why, confidence)


def _margin(answer: Answer, multi_label: bool) -> tuple[float | None, float | None]:
    """How clearly the distribution decides, in [0, 1], and its confidence; None where there is none."""
    row = answer.distribution
    if row is None or row.size == 0:
        return None, None
    if multi_label:
        nearest = float(abs(row - 0.5).min())
        return 2 * nearest, 0.5 + nearest
    ordered = sorted(map(float, row), reverse=True)
    second = ordered[1] if len(ordered) > 1 else 0.0
    return ordered[0] - second, ordered[0]


def write_review(path: Path, doubts: Sequence[Doubt]) -> int:
    """Write the answers to look at; rows that a person has filled in stay, first. Returns how many are new.

    Raises DataError where the file that is there can't be read: it may hold answers.
    """
    kept = [row for row in read_sheet(path) if not is_empty(row.get("label"))]
    done = {str(row.get(HASH) or "") for row in kept}
    rows = [
        {
            "id": doubt.prompt.id,
            "text": shown(doubt.prompt.text),
            "teacher": "" if doubt.answer.value is None else _cell(doubt.answer),
            "confidence": "" if doubt.confidence is None else f"{doubt.confidence:.3f}",
            "why": shown(doubt.why),
            "label": "",
            HASH: doubt.prompt.hash,
        }
        for doubt in doubts
        if doubt.prompt.hash not in done
    ]
    write_sheet(path, COLUMNS, [*kept, *rows])
    return len(rows)


def _cell(answer: Answer) -> str:
    value = answer.value
    if isinstance(value, str):
        return shown(value)
    return " | ".join(value) if isinstance(value, tuple) else dump_value(value or "")
