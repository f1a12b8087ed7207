"""A purge from its beginning to its end, on disk meanwhile: what was erased can't be gathered again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tutelage import storage
from tutelage.data.erasure import Traces
from tutelage.programme import Programme, Stage
from tutelage.stages.lifecycle import STAGES
from tutelage.stages.purge._made import learned_from

_AMENDED = ("check", "gold", "collect", "coverage", "plan", "label")  # what they left has lost rows, no more
_NAMES = ("keys", "texts", "hashes", "ids")


@dataclass(frozen=True)
class Underway:
    """`current` names the stages that had nothing to do before, `learned` is `learned_from` then.

    `goes_on` tells that it takes up one that was stopped.
    """

    traces: Traces
    current: frozenset[str]
    learned: Mapping[str, bool] = field(default_factory=dict)
    goes_on: bool = False

    @classmethod
    def begun(cls, programme: Programme, traces: Traces) -> Underway:
        """Begin, or go on with one that was stopped; on disk when this returns, for its owner alone."""
        before = _read(programme)
        now = frozenset(stage.name for stage in STAGES if _is_current(stage, programme))
        learned = learned_from(programme)
        made = cls(traces, now, learned)
        if before is not None:
            both = {run: same or before.learned.get(run, False) for run, same in learned.items()}
            made = cls(before.traces | traces, before.current | now, both, goes_on=True)
        storage.write_json(programme.purging, made._content())
        programme.purging.chmod(0o600)
        return made

    def _content(self) -> dict[str, Any]:
        traces = {name: sorted(getattr(self.traces, name)) for name in _NAMES}
        return {"traces": traces, "current": sorted(self.current), "learned": dict(self.learned)}


def _read(programme: Programme) -> Underway | None:
    if not programme.purging.exists():
        return None
    content = storage.read_json(programme.purging)
    traces = Traces(*(frozenset(content["traces"][name]) for name in _NAMES))
    return Underway(traces, frozenset(content["current"]), content["learned"])


def _is_current(stage: Stage, programme: Programme) -> bool:
    known = stage.name in _AMENDED and stage.state_path(programme).exists()
    return known and stage.reason_to_run(programme) is None
