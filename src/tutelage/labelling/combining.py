"""Several members' answers to one prompt as one answer. Nothing here asks anybody, or costs anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Value, dump_value
from tutelage.tasks import with_labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tutelage.tasks import LabelTask, Task

    Row = npt.NDArray[np.float64]

_EVEN = 1e-9  # shares that differ by less are a tie


@dataclass(frozen=True, slots=True)
class Voice:
    """One member's answer to a prompt; None where it gave none after all tries. `weight` is above 0."""

    member: str
    weight: float
    answer: Answer | None

    @property
    def value(self) -> Value | None:
        """What it said, where that is usable."""
        usable = self.answer is not None and self.answer.status is AnswerStatus.OK
        return self.answer.value if usable and self.answer is not None else None


def agreeing_share(task: Task, values: Sequence[Value]) -> float | None:
    """The share of pairs that agree by the task's rules; None for fewer than two values."""
    pairs = [task.compare(one, other).agree for one, other in combinations(values, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def disagree(task: Task, voices: Sequence[Voice]) -> list[Value]:
    """The usable values where some pair of them disagrees, else none."""
    values = [voice.value for voice in voices if voice.value is not None]
    return values if agreeing_share(task, values) not in (None, 1.0) else []


def combine(task: Task, strategy: str, voices: Sequence[Voice], judged: Answer | None = None) -> Answer:
    """One answer of origin `ensemble` from members' `voices`, under a strategy of the configuration.

    Members without a usable answer are left out, and the reason says so; where none has one, the commonest
    fault is the answer's status. `judged` is the judge's answer where a committee disagrees: it is what
    counts, and where the judge gave no usable one, the prompt is quarantined with the judge's fault.
    `repeatability` is the share of pairs of members that agree; `raw` holds what each of them said.
    """
    usable = [voice for voice in voices if voice.value is not None]
    raw = _said(voices, judged)
    if not usable:
        return _nothing_usable(voices, raw)
    values = [voice.value for voice in usable if voice.value is not None]
    share = agreeing_share(task, values)
    reasons = [_fault_of(voice) for voice in voices if voice.value is None]
    if judged is not None:
        if judged.status is not AnswerStatus.OK:
            reason = "; ".join([f"the members disagree, and the judge: {judged.reason}", *reasons])
            return Answer(judged.status, None, raw=raw, reason=reason, repeatability=share)
        value, row, how = judged.value, judged.distribution, "decided by the judge"
        rationale = judged.rationale
    else:
        value, row, how = _joined(task, strategy, usable, values)
        rationale = _rationale(task, usable, value)
    return Answer(
        AnswerStatus.OK,
        value,
        row,
        DistributionOrigin.ENSEMBLE,
        raw=raw,
        reason="; ".join([f"{len(usable)} of {len(voices)} members, {how}", *reasons]),
        rationale=rationale,
        repeatability=share,
    )


def _joined(
    task: Task, strategy: str, usable: Sequence[Voice], values: Sequence[Value]
) -> tuple[Value, npt.NDArray[np.float32] | None, str]:
    """Value, distribution and how it came about, of members without a judge."""
    import numpy as np

    labelled = with_labels(task)
    weights = [voice.weight for voice in usable]
    if labelled is None:
        value = _medoid(task, values, weights) if strategy == "weighted" else task.vote(values)[0]
        return value, None, "by agreement with the others"
    rows = np.stack([_row(labelled, voice) for voice in usable])
    how = _origins(usable)
    if strategy == "majority":
        value, shares = _majority(labelled, values, weights, rows)
        return value, shares.astype(np.float32), how
    mean = np.average(rows, axis=0, weights=weights if strategy == "weighted" else None)
    if not labelled.multi_label:
        mean = mean / mean.sum()
    row = mean.astype(np.float32)
    if strategy == "committee" and len(set(values)) == 1:
        return values[0], row, how  # all agree; what their distributions say of the rest stays
    return labelled.decide(row[None])[0], row, how


def _row(task: LabelTask, voice: Voice) -> Row:
    """A member's distribution; one label's whole weight where it gave none."""
    import numpy as np

    if voice.answer is not None and voice.answer.distribution is not None:
        return voice.answer.distribution.astype(np.float64)
    return task.encode([voice.value])[0].astype(np.float64) if voice.value is not None else np.zeros(0)


def _majority(
    task: LabelTask, values: Sequence[Value], weights: Sequence[float], rows: Row
) -> tuple[Value, Row]:
    """What most said, ties broken by weight and then by the mean of distributions; and the shares of votes.

    With several labels each is voted on by itself.
    """
    import numpy as np

    votes = task.encode(values).astype(np.float64)
    shares, weighted = votes.mean(axis=0), np.average(votes, axis=0, weights=weights)
    mean = rows.mean(axis=0)
    if task.multi_label:
        counts = [
            next((share > 0.5 for share in column if abs(share - 0.5) > _EVEN), True)
            for column in zip(shares, weighted, mean, strict=True)
        ]
        return task.value_of(
            [label for label, given in zip(task.labels, counts, strict=True) if given]
        ), shares
    best = np.arange(len(task.labels))
    for column in (shares, weighted, mean):
        best = best[column[best] >= column[best].max() - _EVEN]
    return task.labels[int(best[0])], shares


def _medoid(task: Task, values: Sequence[Value], weights: Sequence[float]) -> Value:
    """The value that agrees most with the others, each counted with its weight; ties go to the earlier."""

    def support(value: Value) -> float:
        pairs = zip(values, weights, strict=True)
        return sum(weight * task.compare(value, other).score for other, weight in pairs)

    return max(values, key=support)


def _rationale(task: Task, usable: Sequence[Voice], value: Value) -> str:
    """The first reasons of a member that said `value`."""
    for voice in usable:
        answer = voice.answer
        if answer and answer.rationale and voice.value is not None and task.compare(voice.value, value).agree:
            return answer.rationale
    return ""


def _origins(usable: Sequence[Voice]) -> str:
    """How many distributions are of which origin: `2 model, 1 one-hot`."""
    counts = Counter(
        str(voice.answer.origin)
        if voice.answer is not None and voice.answer.distribution is not None
        else "one-hot"
        for voice in usable
    )
    return "distributions: " + ", ".join(f"{count} {origin}" for origin, count in counts.items())


def _fault_of(voice: Voice) -> str:
    if voice.answer is None:
        return f"{voice.member}: no answer after all tries"
    return f"{voice.member}: {voice.answer.status}"


def _nothing_usable(voices: Sequence[Voice], raw: str) -> Answer:
    faults = Counter(voice.answer.status for voice in voices if voice.answer is not None)
    [(status, _)] = faults.most_common(1) or [(AnswerStatus.UNPARSEABLE, 0)]
    reason = "no member has a usable answer: " + "; ".join(map(_fault_of, voices))
    return Answer(status, None, raw=raw, reason=reason)


def _said(voices: Sequence[Voice], judged: Answer | None) -> str:
    """What members and judge said, as JSON: null where that is not usable."""

    def plain(value: Value | None) -> Any:
        return None if value is None else json.loads(dump_value(value))

    said: dict[str, Any] = {"members": {voice.member: plain(voice.value) for voice in voices}}
    if judged is not None:
        said["judge"] = plain(judged.value)
    return json.dumps(said, ensure_ascii=False)
