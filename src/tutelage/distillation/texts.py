"""What a student that writes learns from: texts with answers, and the reasons for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tutelage.data.splits import NOWHERE, Origins, origins_of, part_rows
from tutelage.distillation.token_cache import TokenCache
from tutelage.records import AnswerStatus, Value, dump_value, load_value
from tutelage.tasks import Task


@dataclass(frozen=True)
class TextSignals:
    """Texts with what is to be said of each, row by row.

    `values` are the teacher's answers, None where it has none; `rationales` its reasons, empty where it gave
    none; `gold` the humans' answers, None where there is none. `tokens` are the distributions over
    tokens that the teacher's answers came from, where they were kept. `origins`: what splits mind.
    """

    texts: tuple[str, ...]
    values: tuple[Value | None, ...]
    rationales: tuple[str, ...]
    gold: tuple[Value | None, ...]
    tokens: TokenCache | None = None
    origins: Origins = NOWHERE

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def targets(self) -> tuple[Value, ...]:
        """The best known answer of each row: the human's, else the teacher's."""
        best = [value if gold is None else gold for gold, value in zip(self.gold, self.values, strict=True)]
        return tuple(value for value in best if value is not None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The teacher's reasons; none where a human answered otherwise: they argue for another answer."""
        rows = zip(self.rationales, self.values, self.gold, strict=True)
        return tuple("" if gold is not None and gold != value else why for why, value, gold in rows)

    def take(self, indices: npt.NDArray[np.int64]) -> TextSignals:
        """The rows at `indices`."""
        columns = (self.texts, self.values, self.rationales, self.gold)
        texts, values, rationales, gold = (tuple(column[at] for at in indices) for column in columns)
        tokens = self.tokens and self.tokens.take(indices)
        return TextSignals(texts, values, rationales, gold, tokens, self.origins.take(indices))

    def and_then(self, other: TextSignals) -> TextSignals:
        """These rows and then those of `other`; without tokens, whose distributions `other` needn't have."""
        return TextSignals(
            self.texts + other.texts,
            self.values + other.values,
            self.rationales + other.rationales,
            self.gold + other.gold,
            origins=self.origins.and_then(len(self), other.origins, len(other)),
        )

    def without_rationales(self) -> TextSignals:
        """The same answers without a word why: what a control arm learns from."""
        return replace(self, rationales=("",) * len(self))

    def without_tokens(self) -> TextSignals:
        """The same answers without the distributions that they came from, likewise."""
        return replace(self, tokens=None)

    def with_reasons(self) -> TextSignals:
        """The rows that have reasons."""
        return self.take(np.flatnonzero([bool(why) for why in self.reasons]))

    def to_json(self) -> list[Any]:
        """All of it, to be hashed."""
        dumped = [
            [None if value is None else dump_value(value) for value in column]
            for column in (self.values, self.gold)
        ]
        return [self.texts, self.rationales, *dumped, self.tokens.to_json() if self.tokens else None]


def read_texts(
    transfer: pa.Table, refusals: Mapping[str, str] | None = None, *, by_time: bool = False
) -> TextSignals:
    """The rows of `answers/transfer.parquet` that teach; quarantined answers without a human one don't.

    But for `refusals`: what the teacher said where it declined, by the prompt's hash. A human's answer to
    such a prompt goes before it. With `by_time` the latest are held back.
    """
    declined = refusals or {}
    rows = [
        row
        for row in transfer.to_pylist()
        if row["status"] == AnswerStatus.OK or row["gold"] is not None or row.get("hash", "") in declined
    ]
    is_ok = [row["status"] == AnswerStatus.OK for row in rows]
    values = [
        load_value(row["value"]) if ok else declined.get(row.get("hash", ""))
        for row, ok in zip(rows, is_ok, strict=True)
    ]
    return TextSignals(
        tuple(row["text"] for row in rows),
        tuple(values),
        tuple((row["rationale"] or "") if ok else "" for row, ok in zip(rows, is_ok, strict=True)),
        tuple(None if row["gold"] is None else load_value(row["gold"]) for row in rows),
        origins=origins_of(rows, by_time=by_time),
    )


def humans_alone(signals: TextSignals) -> TextSignals:
    """The rows that a human answered, with that answer alone: what a team has without a teacher."""
    chosen = np.flatnonzero([gold is not None for gold in signals.gold])
    part = signals.take(chosen)
    return replace(part, values=part.gold, rationales=("",) * len(part), tokens=None)


def hold_texts_back(signals: TextSignals, share: float, seed: int) -> tuple[TextSignals, TextSignals]:
    """Split into (learning, validation) by `data.splits.part_rows`: about `share` is held back.

    Either has at least one row where there are two.
    """
    learning, held = part_rows(len(signals), share, seed, signals.origins)
    return signals.take(learning), signals.take(held)


def best_of(task: Task, samples: Sequence[Value], reference: Value | None = None) -> Value:
    """Of several answers to one prompt the one to learn from.

    With a human's `reference` the one that comes closest to it by `task.compare`, ties to the one that more
    of the others agree with: sequence-level interpolation (Kim and Rush 2016, section 3.3), which is near
    the truth and yet something that the teacher is likely to say. Without, the one that agrees most with
    the others (`task.vote`). Raises ValueError for none.
    """
    if not samples:
        raise ValueError("no answer to choose from")
    likeliest, _ = task.vote(samples)
    if reference is None:
        return likeliest
    candidates = dict.fromkeys([likeliest, *samples])
    return max(candidates, key=lambda value: task.compare(value, reference).score)


def chosen_answers(
    task: Task,
    texts: Sequence[str],
    samples: Sequence[Sequence[Value]],
    gold: Mapping[int, Value] | None = None,
    rationales: Iterable[str] | None = None,
) -> TextSignals:
    """Signals of the best of several answers to each text (`best_of`).

    `gold` has the humans' answers by the text's place. They choose among the teacher's, and aren't learned
    from themselves. Texts without an answer are left out.
    """
    known = gold or {}
    reasons = list(rationales) if rationales is not None else [""] * len(texts)
    kept = [place for place, some in enumerate(samples) if some]
    return TextSignals(
        tuple(texts[place] for place in kept),
        tuple(best_of(task, samples[place], known.get(place)) for place in kept),
        tuple(reasons[place] for place in kept),
        (None,) * len(kept),
    )
