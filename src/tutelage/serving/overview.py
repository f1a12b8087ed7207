"""How a server stands, in the figures that a person looks at: who answers, how good it is, what it saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from tutelage.config import ServingConfig
from tutelage.serving.alarms import ALL, Watched
from tutelage.serving.drift import Drift
from tutelage.serving.monitor import Monitor
from tutelage.serving.router import By, Rollout
from tutelage.serving.store import Alert, RolloutChange, Store, Totals

DAY = 86_400.0
_STEP = 30  # minutes of one bar of the day's traffic
MONTH = 30 * DAY
_MOST_ALERTS = 20


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How often the student says something else than the teacher: `wrong` of `n`, the interval that holds at
    all times, and the limit.

    `live` tells whether it is of what the student answered, by audits, or of what it would have answered.
    """

    live: bool
    wrong: int
    n: int
    low: float
    high: float
    limit: float

    @property
    def estimate(self) -> float | None:
        """The share; None before any was compared."""
        return self.wrong / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Saved:
    """What the student's answers would have cost at the teacher's mean price, less what its audits cost.

    In US dollars since a time; `dollars` is None where the teacher answered nothing that tells its price.
    """

    since: float
    answered: int
    dollars: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it at one time, `at` (seconds since the epoch). `student` is the run and form deployed."""

    at: float
    rollout: Rollout
    student: str
    change: RolloutChange | None
    disagreement: Disagreement
    slices: Sequence[Watched]
    day: Totals
    traffic: Sequence[Totals]
    step: int
    saved: Saved
    alerts: Sequence[Alert]
    lost: int
    late: int
    drift: Drift


def read_overview(
    store: Store, monitor: Monitor, rollout: Rollout, config: ServingConfig, *, at: float | None = None
) -> Overview:
    """Read it, which waits for the store: call it in a worker thread. Raises what the store does."""
    now = time() if at is None else at
    change = store.rollout()
    return Overview(
        at=now,
        rollout=rollout,
        student="" if change is None else str(change.evidence.get("student", "")),
        change=change,
        disagreement=_disagreement(monitor, rollout, config),
        slices=[watched for watched in monitor.figures() if watched.slice != ALL],
        day=store.totals(now - DAY),
        traffic=store.series(now - DAY, minutes=_STEP),
        step=_STEP,
        saved=saved(store.totals(now - MONTH)),
        alerts=store.alerts(open_only=True, limit=_MOST_ALERTS),
        lost=store.lost,
        late=store.late,
        drift=monitor.drift,
    )


def _disagreement(monitor: Monitor, rollout: Rollout, config: ServingConfig) -> Disagreement:
    limit = config.audit.limit
    if not rollout.stage.live:
        seen = monitor.shadow
        return Disagreement(False, seen.errors, seen.trials, *seen.interval(), limit)
    for watched in monitor.figures():
        if watched.slice == ALL:
            return Disagreement(True, watched.wrong, watched.audits, watched.low, watched.high, watched.limit)
    return Disagreement(True, 0, 0, 0.0, 1.0, limit)


def saved(totals: Totals) -> Saved:
    """What the student's answers saved in the time of these totals."""
    student, teacher = totals.total(by=By.STUDENT), totals.total(by=By.TEACHER)
    if not teacher.requests:
        return Saved(totals.since, student.requests, 0.0 if not student.requests else None)
    price = teacher.cost / teacher.requests
    return Saved(totals.since, student.requests, student.requests * price - student.cost)
