"""What of a programme may be kept: who was purged, and how long each class of rows stays."""

from __future__ import annotations

from datetime import UTC, datetime, time

from tutelage.config import ServingConfig
from tutelage.data.forgotten import Forgotten
from tutelage.data.keeping import Keeping, Retention
from tutelage.programme import Programme


def keeping_of(programme: Programme) -> Keeping:
    """What sources' rows are asked as they are read. Raises IntegrityError."""
    return Keeping(Forgotten.read(programme.forgotten), retention_of(programme))


def retention_of(programme: Programme) -> Retention | None:
    """The limits as they hold today (UTC); None where there is none."""
    limits = programme.config.retention.limits
    if not limits:
        return None
    now = datetime.combine(programme.today(), time(), UTC).timestamp()
    return Retention(limits, now, _first_collected(programme))


def _first_collected(programme: Programme) -> float | None:
    """When rows without a time of their own were here for certain: at the first `collect` or `gold`."""
    for entry in programme.journal.entries():
        if entry.event == "stage" and entry.data["stage"] in ("gold", "collect"):
            return datetime.fromisoformat(entry.time).timestamp()
    return None


def captures_kept(programme: Programme) -> float | None:
    """Days for which captures are kept; None where that is for ever."""
    serving = programme.config.serving
    given = (serving.retention_days, programme.config.retention.limits.get(serving.sensitivity))
    return min((days for days in given if days is not None), default=None)


def kept_by_server(programme: Programme) -> ServingConfig:
    """The settings of a server, with `captures_kept`."""
    return programme.config.serving.model_copy(update={"retention_days": captures_kept(programme)})
