"""A task whose answers are easier to learn with reasons: whether two made-up words are of one kind.

The kind of a word is told nowhere but in a teacher's reasons. From answers alone it has to be guessed from
which pairs go together.
"""

from __future__ import annotations

import random

from tutelage.distillation import TextSignals
from tutelage.tasks import Classify

_KINDS = {
    "up": "bako dilu fera gonu hisa jemo".split(),
    "down": "kuta lepo mizi noru pafe quso".split(),
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words}
TASK = Classify(("same", "other"))


def _pairs() -> list[tuple[str, str]]:
    pairs = [(one, other) for one in _KIND_OF for other in _KIND_OF]
    random.Random(5).shuffle(pairs)
    return pairs


def _label(one: str, other: str) -> str:
    return "same" if _KIND_OF[one] == _KIND_OF[other] else "other"


def _row(one: str, other: str) -> tuple[str, str, str]:
    return f"{one} {other}", _label(one, other), f"{_KIND_OF[one]} {_KIND_OF[other]}"


ROWS = [_row(*pair) for pair in _pairs()]
LEARNED, UNSEEN = ROWS[:72], ROWS[72:]
CORPUS = [part for row in ROWS for part in row] + ["Answer:", "Reasons:", "[label] [rationale] "] * 20


def taught(rationales: str = "right") -> TextSignals:
    """The teacher's answers with its reasons, the `right` ones, those of other rows (`shuffled`), or `none`."""
    texts, labels, reasons = map(tuple, zip(*LEARNED, strict=True))
    if rationales == "shuffled":
        reasons = tuple(random.Random(6).sample(reasons, len(reasons)))
    if rationales == "none":
        reasons = ("",) * len(reasons)
    return TextSignals(texts, labels, reasons, (None,) * len(texts))


def accuracy(student) -> float:
    """On pairs that nobody has seen."""
    wanted = [label for _, label, _ in UNSEEN]
    found = student.answers([text for text, _, _ in UNSEEN], TASK)
    return sum(parsed.value == label for parsed, label in zip(found, wanted, strict=True)) / len(wanted)
