"""The alarms on what a student answers, fed by the audits of every server on one database.

Each server takes in its own audits as they come and those of the others when it looks (`Alarms.hear`). Of its
own it keeps the last ones, beside their number, where the others read them; and with its alarms' state it
keeps up to which number it has taken in those of every other. So each server takes in each audit once, also
one that begins with the state that another has left.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.config import AuditConfig
from tutelage.errors import UsageError
from tutelage.serving.sequences import Alarm, ConfidenceSequence

ALL = ""  # the name of the alarm on every slice together
_MOST_SLICES = 50  # with alarms of their own; later ones are watched together with all others
_TOLD = 200  # audits that others can hear of: many more than come between two of their looks
_FORGOTTEN = 86_400.0  # seconds after which what a server that is gone has told is removed
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


class Alarms:
    """Those on one revision of the student. `states` is what was kept of it, by any server; `replica` names
    this one among them, and `ring` is told of every alarm, once."""

    def __init__(
        self,
        revision: str,
        config: AuditConfig,
        states: Mapping[str, Any],
        replica: str,
        ring: Callable[[Ringing], None],
    ) -> None:
        self.revision, self._config, self._replica, self._ring = revision, config, replica, ring
        self._alarms = self._kept(states)
        heard = states.get(self._heard_name, {})  # audits taken in, by server
        self._heard = {one: count for one, count in heard.items() if self._told_name(one) in states}
        own = states.get(self._told_name(replica), {"audits": 0, "last": [], "at": 0.0})
        self._audits: int = own["audits"]
        self._told, self._told_at = deque[Any](own["last"], _TOLD), float(own["at"])

    def audited(self, slice: str, agree: bool) -> Mapping[str, Any]:
        """Take in an audit of this server's; the states that moved."""
        if self._told_at < time.time() - _FORGOTTEN / 2:  # whoever begins now may not know that it heard them
            self._told.clear()
        self._audits += 1
        self._heard[self._replica], self._told_at = self._audits, time.time()
        self._told.append((slice, not agree))
        self._add(slice, not agree)
        told = {"audits": self._audits, "last": list(self._told), "at": self._told_at}
        return {**self._state(), self._told_name(self._replica): told}

    def hear(self, states: Mapping[str, Any]) -> None:
        """Take in what other servers have audited since the last look. Of more than `_TOLD` of one of them
        the oldest are left out: whether an audit is doesn't depend on what it found."""
        for name, state in sorted(states.items()):
            prefix, _, replica = name.rpartition(":")
            if prefix != f"audits:{self.revision}" or replica == self._replica:
                continue
            new = state["audits"] - self._heard.get(replica, 0)
            self._heard[replica] = state["audits"]
            for slice, wrong in state["last"][-new:] if new > 0 else ():
                self._add(slice, wrong)

    def silence(self) -> Mapping[str, Any]:
        """Begin anew, after a person has decided to go on; the states that moved."""
        self._alarms = {}
        return self._state()

    @property
    def ringing(self) -> list[str]:
        """The slices whose alarm has rung; empty string: all together."""
        return [name for name, alarm in self._alarms.items() if alarm.rung_at is not None]

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

    def _add(self, slice: str, wrong: bool) -> None:
        for name in dict.fromkeys((ALL, self._watched_slice(slice))):
            alarm = self._alarms.get(name) or self._new_alarm(name)
            before = alarm.rung_at
            if alarm.add(wrong) and before is None:
                self._ring(Ringing(self.revision, name, alarm.trials, alarm.errors, alarm.limit))

    def _state(self) -> dict[str, Any]:
        alarms = {name: alarm.to_json() for name, alarm in self._alarms.items()}
        return {f"alarms:{self.revision}": alarms, self._heard_name: dict(self._heard)}

    @property
    def _heard_name(self) -> str:
        return f"heard:{self.revision}"

    def _told_name(self, replica: str) -> str:
        return f"audits:{self.revision}:{replica}"

    def _kept(self, states: Mapping[str, Any]) -> dict[str, Alarm]:
        """Those of an earlier process. Where another limit or delta was configured since they begin anew."""
        try:
            kept = {
                name: Alarm.from_json(state)
                for name, state in states.get(f"alarms:{self.revision}", {}).items()
            }
        except (UsageError, KeyError, TypeError):  # of another version
            return {}
        same = ALL in kept and kept[ALL].delta == self._delta(ALL, 0)
        return kept if same and all(alarm.limit == self._config.limit for alarm in kept.values()) else {}

    def _watched_slice(self, name: str) -> str:
        if not self._config.slices or (name not in self._alarms and len(self._alarms) > _MOST_SLICES):
            return ALL
        return name

    def _new_alarm(self, name: str) -> Alarm:
        known = sum(other != ALL for other in self._alarms)
        alarm = self._alarms[name] = Alarm(self._config.limit, self._delta(name, known))
        return alarm

    def _delta(self, name: str, known: int) -> float:
        """Half of delta is for all requests together, of the other half the k-th slice has a share of 1/k²:
        however many come, false alarms stay at delta."""
        half = self._config.delta / 2 if self._config.slices else self._config.delta
        return half if name == ALL else half / (_BASEL * (known + 1) ** 2)


def outdated(states: Mapping[str, Any]) -> list[str]:
    """Names of states that hold only what every server has long heard."""
    before = time.time() - _FORGOTTEN
    return [name for name, state in states.items() if name.startswith("audits:") and state["at"] < before]
