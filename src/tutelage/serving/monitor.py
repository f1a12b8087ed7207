"""The watch: what the student does against the teacher, and whether requests are still what they were.

It may be looked at after every request: alarms and intervals are those of `sequences`. All its state is JSON
that is kept in the same transaction as the capture that moved it, so that a server that is killed goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from tutelage.config import AuditConfig
from tutelage.errors import UsageError
from tutelage.serving.captures import Capture
from tutelage.serving.drift import Drift, Drifted
from tutelage.serving.router import By
from tutelage.serving.sequences import Alarm, ConfidenceSequence

ALL = ""  # the name of the alarm on every slice together
_MOST_SLICES = 50  # with alarms of their own; later ones are watched together with all others
_KEPT_EVERY = 50  # requests
_BASEL = math.pi**2 / 6  # Σ 1/k²


@dataclass(frozen=True, slots=True)
class Ringing:
    """An alarm that has just rung: which slice (empty: all), after how many audits, with how many wrong."""

    revision: str
    slice: str
    audits: int
    wrong: int
    limit: float

    def __str__(self) -> str:
        where = f"slice {self.slice!r}" if self.slice else "all requests"
        return (
            f"the student's disagreement with the teacher on {where} is above {self.limit:.2%}: "
            f"{self.wrong:,} of {self.audits:,} audits"
        )


@dataclass(frozen=True, slots=True)
class Watched:
    """Disagreement on a slice: of the audits so far, with an interval that holds at all times, and the
    alarm's e-value."""

    slice: str
    audits: int
    wrong: int
    low: float
    high: float
    limit: float
    rung: bool
    evidence: float = 1.0


class Monitor:
    """Watches one revision of the student at a time; `watch` names it.

    `restored` is what was kept of an earlier process. `ring` is told of every alarm, once, and `drifted` of
    each feature of requests that has surely changed.
    """

    def __init__(
        self,
        config: AuditConfig,
        restored: Mapping[str, Any],
        ring: Callable[[Ringing], None],
        drifted: Callable[[Drifted], None] = lambda found: None,
    ) -> None:
        self._config, self._states, self._ring = config, dict(restored), ring
        self._drifted, self.drift, self._noted = drifted, Drift(config.drift), 0
        self.revision, self._threshold = "", 0.0
        self._since = 0.0  # what was asked before was asked of another student
        self._alarms: dict[str, Alarm] = {}
        self._shadow = ConfidenceSequence()

    def watch(self, revision: str, threshold: float | None) -> None:
        """From now on this revision, with what is known of it; in shadow what it would answer at this
        threshold."""
        watched = math.inf if threshold is None else threshold
        if (revision, watched) == (self.revision, self._threshold):
            return
        if self.revision not in ("", revision):
            self._since = time()
        self.revision, self._threshold = revision, watched
        self._alarms, self.drift = self._kept_alarms(), self._kept_drift()
        shadow = self._states.get(self._name("shadow"))
        self._shadow = ConfidenceSequence()
        if shadow is not None and shadow["threshold"] == threshold:
            self._shadow = ConfidenceSequence(shadow["wrong"], shadow["n"])

    def note(self, capture: Capture) -> Mapping[str, Any]:
        """See `Watch.note`: what the student would have answered, beside what the teacher did."""
        said = capture.confidence
        if capture.at - capture.latency < self._since or said is None:
            return {}
        drift = self._note_drift(capture, said)
        unheard = capture.by == By.TEACHER and capture.agree is not None
        if not unheard or not said >= self._threshold:
            return drift
        errors, trials = self._shadow.errors + (not capture.agree), self._shadow.trials + 1
        self._shadow = ConfidenceSequence(errors, trials)
        return drift | self._moved("shadow", {"threshold": self._threshold, "wrong": errors, "n": trials})

    def _note_drift(self, capture: Capture, said: float) -> dict[str, Any]:
        """Take it in; its state is kept now and then, so that a kill costs as many requests at most."""
        value = None if capture.student_value is None else json.loads(capture.student_value)
        labels = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        for found in self.drift.add(labels, said, len(capture.text or "")):
            self._drifted(found)
        self._noted += 1
        return self._moved("drift", self.drift.to_json()) if self._noted % _KEPT_EVERY == 0 else {}

    def audited(self, capture: Capture, agree: bool) -> Mapping[str, Any]:
        """See `Watch.audited`. An audit of a revision that answers no longer moves nothing."""
        if capture.revision != self.revision:
            return {}
        for name in dict.fromkeys((ALL, self._watched_slice(capture.slice))):
            alarm = self._alarms.get(name) or self._new_alarm(name)
            before = alarm.rung_at
            if alarm.add(not agree) and before is None:
                self._ring(Ringing(self.revision, name, alarm.trials, alarm.errors, alarm.limit))
        return self._moved("alarms", {name: alarm.to_json() for name, alarm in self._alarms.items()})

    def silence(self) -> Mapping[str, Any]:
        """Begin anew for the revision watched, after a person has decided to go on with it."""
        self._alarms = {}
        return self._moved("alarms", {})

    @property
    def ringing(self) -> list[str]:
        """The slices whose alarm has rung; empty string: all together."""
        return [name for name, alarm in self._alarms.items() if alarm.rung_at is not None]

    @property
    def shadow(self) -> ConfidenceSequence:
        """Disagreement on what the student would have answered itself, of this revision at this threshold."""
        return self._shadow

    def figures(self) -> Sequence[Watched]:
        """What audits say, all together first."""
        return [
            Watched(
                name,
                alarm.trials,
                alarm.errors,
                *sequence.interval(),
                alarm.limit,
                alarm.rung_at is not None,
                alarm.evidence,
            )
            for name, alarm in self._alarms.items()
            for sequence in [ConfidenceSequence(alarm.errors, alarm.trials, 1 - alarm.delta)]
        ]

    def _kept_alarms(self) -> dict[str, Alarm]:
        """Those of an earlier process. Where another limit or delta was configured since they begin anew."""
        try:
            kept = {
                name: Alarm.from_json(state)
                for name, state in self._states.get(self._name("alarms"), {}).items()
            }
        except (UsageError, KeyError, TypeError):  # of another version
            return {}
        same = ALL in kept and kept[ALL].delta == self._delta(ALL)
        return kept if same and all(alarm.limit == self._config.limit for alarm in kept.values()) else {}

    def _kept_drift(self) -> Drift:
        try:
            return Drift(self._config.drift, self._states.get(self._name("drift")))
        except (KeyError, TypeError):  # of another version
            return Drift(self._config.drift)

    def _watched_slice(self, name: str) -> str:
        if not self._config.slices or (name not in self._alarms and len(self._alarms) > _MOST_SLICES):
            return ALL
        return name

    def _new_alarm(self, name: str) -> Alarm:
        alarm = self._alarms[name] = Alarm(self._config.limit, self._delta(name))
        return alarm

    def _delta(self, name: str) -> float:
        """Half of delta is for all requests together, of the other half the k-th slice has a share of 1/k²:
        however many come, false alarms stay at delta."""
        half = self._config.delta / 2 if self._config.slices else self._config.delta
        if name == ALL:
            return half
        number = sum(known != ALL for known in self._alarms) + 1
        return half / (_BASEL * number**2)

    def _moved(self, kind: str, state: Any) -> dict[str, Any]:
        self._states[self._name(kind)] = state
        return {self._name(kind): state}

    def _name(self, kind: str) -> str:
        return f"{kind}:{self.revision}"
