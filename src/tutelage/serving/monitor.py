"""The watch: what the student does against the teacher, and whether requests are still what they were.

It may be looked at after every request: alarms and intervals are those of `sequences`. All its state is JSON
that is kept in the same transaction as the capture that moved it, so that a server that is killed goes on.
Several servers on one database take in each other's evidence (`Monitor.hear`); drift each watches alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Any

from tutelage.config import AuditConfig
from tutelage.serving.alarms import Alarms, Ringing, Watched
from tutelage.serving.captures import Capture
from tutelage.serving.drift import Drift, Drifted
from tutelage.serving.router import By
from tutelage.serving.sequences import ConfidenceSequence

_KEPT_EVERY = 50  # requests


class Monitor:
    """Watches one revision of the student at a time; `watch` names it.

    `restored` is what was kept of an earlier process, and of others on the same database, among which
    `replica` names this one. `ring` is told of every alarm, once, and `drifted` of each feature of requests
    that has surely changed.
    """

    def __init__(
        self,
        config: AuditConfig,
        restored: Mapping[str, Any],
        ring: Callable[[Ringing], None],
        drifted: Callable[[Drifted], None] = lambda found: None,
        replica: str = "",
    ) -> None:
        self._config, self._states, self._ring = config, dict(restored), ring
        self._replica = replica
        self._drifted, self.drift, self._noted = drifted, Drift(config.drift), 0
        self.revision, self._threshold = "", 0.0
        self._since = 0.0  # what was asked before was asked of another student
        self._alarms = Alarms("", config, {}, replica, ring)
        self._shadow: dict[str, tuple[int, int]] = {}  # errors and trials, by server

    def watch(self, revision: str, threshold: float | None) -> None:
        """From now on this revision, with what is known of it; in shadow what it would answer at this
        threshold."""
        watched = math.inf if threshold is None else threshold
        if (revision, watched) == (self.revision, self._threshold):
            return
        if self.revision not in ("", revision):
            self._since = time()
        self.revision, self._threshold = revision, watched
        self._alarms = Alarms(revision, self._config, self._states, self._replica, self._ring)
        self.drift, self._shadow = self._kept_drift(), {}
        self._hear_shadow(self._states)

    def hear(self, states: Mapping[str, Any]) -> None:
        """Take in the evidence of other servers on the same database, whose states these are."""
        self._hear_shadow({name: state for name, state in states.items() if name != self._shadow_name})
        self._alarms.hear(states)

    @property
    def told(self) -> tuple[str, str]:
        """How the names of states begin in which there is evidence of others."""
        return f"shadow:{self.revision}", f"audits:{self.revision}:"

    def _hear_shadow(self, states: Mapping[str, Any]) -> None:
        """Counts of several servers add up: the interval depends on nothing else."""
        for name, state in states.items():
            if name.startswith(f"shadow:{self.revision}") and state["threshold"] == self._threshold:
                self._shadow[name] = state["wrong"], state["n"]

    def note(self, capture: Capture, *, foreign: bool = False) -> Mapping[str, Any]:
        """See `Watch.note`: what the student would have answered, beside what the teacher did."""
        said = capture.confidence
        if capture.at - capture.latency < self._since or said is None:
            return {}
        drift = self._note_drift(capture, said)
        unheard = capture.by == By.TEACHER and capture.agree is not None and not foreign
        if not unheard or not said >= self._threshold:
            return drift
        errors, trials = self._shadow.get(self._shadow_name, (0, 0))
        errors, trials = self._shadow[self._shadow_name] = errors + (not capture.agree), trials + 1
        state = {"threshold": self._threshold, "wrong": errors, "n": trials}
        return drift | self._moved({self._shadow_name: state})

    def _note_drift(self, capture: Capture, said: float) -> dict[str, Any]:
        """Take it in; its state is kept now and then, so that a kill costs as many requests at most."""
        value = None if capture.student_value is None else json.loads(capture.student_value)
        labels = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        for found in self.drift.add(labels, said, len(capture.text or "")):
            self._drifted(found)
        self._noted += 1
        moved = self._noted % _KEPT_EVERY == 0
        return self._moved({f"drift:{self.revision}": self.drift.to_json()}) if moved else {}

    def audited(self, capture: Capture, agree: bool) -> Mapping[str, Any]:
        """See `Watch.audited`. An audit of a revision that answers no longer moves nothing."""
        if capture.revision != self.revision:
            return {}
        return self._moved(self._alarms.audited(capture.slice, agree))

    def silence(self) -> Mapping[str, Any]:
        """Begin anew for the revision watched, after a person has decided to go on with it."""
        return self._moved(self._alarms.silence())

    @property
    def ringing(self) -> list[str]:
        """The slices whose alarm has rung; empty string: all together."""
        return self._alarms.ringing

    @property
    def shadow(self) -> ConfidenceSequence:
        """Disagreement on what the student would have answered itself, of this revision at this threshold."""
        counts = self._shadow.values()
        return ConfidenceSequence(sum(errors for errors, _ in counts), sum(trials for _, trials in counts))

    def figures(self) -> Sequence[Watched]:
        """What audits say, all together first."""
        return self._alarms.figures()

    def _kept_drift(self) -> Drift:
        try:
            return Drift(self._config.drift, self._states.get(f"drift:{self.revision}"))
        except (KeyError, TypeError):  # of another version
            return Drift(self._config.drift)

    @property
    def _shadow_name(self) -> str:
        return f"shadow:{self.revision}:{self._replica}"

    def _moved(self, states: Mapping[str, Any]) -> dict[str, Any]:
        self._states |= states
        return dict(states)
