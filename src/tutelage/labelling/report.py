"""What a run of asking did, counted as it goes."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tutelage.records import Answer

_BUILD = re.compile(r"(?:[-@:](?:latest|v?\d{3,}(?:-\d\d){0,2}))?")  # what a dated name adds


@dataclass(frozen=True, slots=True)
class LabellingReport:
    """What one run of asking did. Counts are of distinct texts; `cost` in US dollars, of this run.

    `reused` had an answer already; `asked` were put to the teacher, of which `failed_prompts` (hashes) have
    no answer after all tries and are asked again by the next run. `by_status` counts this run's answers;
    `other_models` those from another model than the teacher's `model`, by the name that the endpoint returned
    (a dated build of the one asked for is no other model). `cost` holds the upper bound of
    requests without an account, as `AnswerLedger.spent` does.

    `again` calls were made a second time or more, for `faults`: calls that failed, by kind. `at_once` is the
    most calls that were at the teacher together. `latency_p50` and `latency_p95` are of this run's answers,
    in seconds, None where none has one. `unmetered` answers cost money and came without a count of tokens;
    `unmetered_cost` is booked for them. `repeatability` is the mean of their `Answer.repeatability`, None
    where none was measured.
    """

    asked: int
    reused: int
    failed_prompts: tuple[str, ...] = ()
    by_status: Mapping[str, int] = field(default_factory=dict)
    other_models: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0
    seconds: float = 0.0
    again: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    at_once: int = 0
    latency_p50: float | None = None
    latency_p95: float | None = None
    repeatability: float | None = None
    unmetered: int = 0
    unmetered_cost: float = 0.0

    @property
    def failed(self) -> int:
        """How many prompts have no answer after all tries."""
        return len(self.failed_prompts)


class Tally:
    """Counts of a run under way. `asked_model` is the teacher's `model`; empty where it has none."""

    def __init__(self, asked_model: str) -> None:
        self._asked_model = asked_model
        self._statuses: Counter[str] = Counter()
        self._other_models: Counter[str] = Counter()
        self._latencies = array("f")  # 4 bytes an answer
        self._repeatability, self._repeated = 0.0, 0
        self._unmetered, self._unmetered_cost = 0, 0.0
        self.faults: Counter[str] = Counter()
        self.asked = self.made = self.again = self.at_once = 0
        self.failed: list[str] = []  # prompt hashes

    @property
    def answered(self) -> int:
        """Prompts answered in this run."""
        return self._statuses.total()

    def add(self, answers: Iterable[Answer]) -> None:
        """Count answers that are on disk."""
        for answer in answers:
            self._statuses[str(answer.status)] += 1
            if answer.usage.latency > 0:
                self._latencies.append(answer.usage.latency)
            if answer.usage.cost > 0 and not (answer.usage.input_tokens or answer.usage.output_tokens):
                self._unmetered += 1
                self._unmetered_cost += answer.usage.cost
            if answer.repeatability is not None:
                self._repeatability += answer.repeatability
                self._repeated += 1
            if self._asked_model and answer.model and not _is_model(answer.model, self._asked_model):
                self._other_models[answer.model] += 1

    def faults_in_words(self) -> str:
        """Calls that failed, by kind, the most frequent first: `429: 31, time-out: 2`."""
        return ", ".join(f"{name}: {count}" for name, count in self.faults.most_common())

    def report(self, reused: int, cost: float, seconds: float) -> LabellingReport:
        """All of it."""
        latencies = sorted(self._latencies)
        return LabellingReport(
            asked=self.asked,
            reused=reused,
            failed_prompts=tuple(self.failed),
            by_status=dict(sorted(self._statuses.items())),
            other_models=dict(sorted(self._other_models.items())),
            cost=cost,
            seconds=seconds,
            again=self.again,
            faults=dict(self.faults.most_common()),
            at_once=self.at_once,
            latency_p50=_quantile(latencies, 0.5),
            latency_p95=_quantile(latencies, 0.95),
            repeatability=self._repeatability / self._repeated if self._repeated else None,
            unmetered=self._unmetered,
            unmetered_cost=self._unmetered_cost,
        )


def _is_model(returned: str, asked: str) -> bool:
    """Whether a name that an endpoint returned is that of the model asked for, or of a dated build of it.

    `gpt-4.1-2025-04-14` is of `gpt-4.1`, and `gpt-4.1-mini` isn't.
    """
    returned, asked = (name.lower().removeprefix("models/") for name in (returned, asked))
    family = asked.removesuffix("latest").rstrip("-:")
    rest = returned.removeprefix(family)
    return returned == asked or (len(rest) < len(returned) and _BUILD.fullmatch(rest) is not None)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value with at least `share` of them at or below it."""
    if not ordered:
        return None
    return ordered[math.ceil(len(ordered) * share) - 1]
