"""Captures and their tallies in the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from tutelage.serving.captures import Capture, first_id
from tutelage.serving.store._database import Database
from tutelage.serving.store._records import Tally, Totals
from tutelage.serving.store._tables import CAPTURES, MONITORS, TALLIES

_NAMES = tuple(field.name for field in fields(Capture))
_ALL = attrgetter(*_NAMES)
_SUMS = ("requests", "agreed", "disagreed", "audit_agreed", "audit_disagreed", "latency", "cost")


@dataclass(frozen=True, slots=True)
class Completion:
    """What an audit that came back later adds to its capture."""

    id: str
    teacher_value: str | None
    agree: bool | None
    cost: float


def insert(connection: sa.Connection, captures: Sequence[Capture]) -> None:
    """Write captures down."""
    connection.execute(
        sa.insert(CAPTURES), [dict(zip(_NAMES, _ALL(capture), strict=True)) for capture in captures]
    )


def complete(
    connection: sa.Connection, completions: Iterable[Completion]
) -> list[tuple[Completion, Capture]]:
    """Add what audits found; those with their captures as they are now.

    One whose capture is gone, or has the teacher's value already, is left out.
    """
    found = []
    for completion in completions:
        row = connection.execute(
            sa.update(CAPTURES)
            .where(CAPTURES.c.id == completion.id, CAPTURES.c.teacher_value.is_(None))
            .values(
                teacher_value=completion.teacher_value,
                agree=completion.agree,
                cost=CAPTURES.c.cost + completion.cost,
                audited=True,
            )
            .returning(*CAPTURES.c)
        ).one_or_none()
        if row is not None:
            found.append((completion, Capture(**row._mapping)))
    return found


def count(
    connection: sa.Connection,
    database: Database,
    captures: Iterable[Capture],
    completions: Iterable[tuple[Completion, Capture]],
) -> None:
    """Add to the tallies of the minutes in which the requests came."""
    sums: dict[tuple[int, str, str, str], list[float]] = {}
    for capture in captures:
        _add(sums, capture, [1, *_agreements(capture), capture.latency, capture.cost])
    for completion, capture in completions:
        _add(sums, capture, [0, *_agreements(capture), 0.0, completion.cost])
    if not sums:
        return
    upsert = database.upsert(TALLIES)
    upsert = upsert.on_conflict_do_update(
        index_elements=list(TALLIES.primary_key.columns),
        set_={name: TALLIES.c[name] + upsert.excluded[name] for name in _SUMS},
    )
    # Sorted: two servers that lock the same rows do so in the same order, and none waits for the other.
    connection.execute(
        upsert,
        [
            {
                "minute": minute,
                "stage": stage,
                "by": by,
                "slice": slice_,
                **dict(zip(_SUMS, added, strict=True)),
            }
            for (minute, stage, by, slice_), added in sorted(sums.items())
        ],
    )


def save_monitors(connection: sa.Connection, database: Database, states: Mapping[str, Any]) -> None:
    """Put each monitor's state in the place of its last one."""
    upsert = database.upsert(MONITORS)
    upsert = upsert.on_conflict_do_update(
        index_elements=[MONITORS.c.name], set_={"state": upsert.excluded.state}
    )
    connection.execute(upsert, [{"name": name, "state": state} for name, state in sorted(states.items())])


def select(
    connection: sa.Connection,
    *,
    since: float | None,
    before: str | None,
    by: str | None,
    disagreeing: bool | None,
    audited: bool | None,
    limit: int,
) -> list[Capture]:
    """See `Store.captures`."""
    query = sa.select(CAPTURES).order_by(CAPTURES.c.id.desc()).limit(limit)
    if since is not None:
        query = query.where(CAPTURES.c.id >= first_id(since))
    if before is not None:
        query = query.where(CAPTURES.c.id < before)
    if by is not None:
        query = query.where(CAPTURES.c.by == by)
    if disagreeing is not None:
        query = query.where(CAPTURES.c.agree == sa.literal(not disagreeing, literal_execute=True))
    if audited is not None:
        query = query.where(CAPTURES.c.audited == audited)
    return [Capture(**row) for row in connection.execute(query).mappings()]


def totals(connection: sa.Connection, since: float) -> Totals:
    """See `Store.totals`."""
    dimensions = (TALLIES.c.stage, TALLIES.c.by, TALLIES.c.slice)
    query = (
        sa.select(*dimensions, *(sa.func.sum(TALLIES.c[name]).label(name) for name in _SUMS))
        .where(TALLIES.c.minute >= int(since // 60))
        .group_by(*dimensions)
        .order_by(*dimensions)
    )
    return Totals(since, tuple(_tally(row) for row in connection.execute(query).mappings()))


def _tally(row: sa.RowMapping) -> Tally:
    # PostgreSQL sums whole numbers as decimals.
    counts: dict[str, Any] = {name: int(row[name]) for name in _SUMS if name not in ("latency", "cost")}
    return Tally(**{**row, **counts})


def _agreements(capture: Capture) -> list[int]:
    if capture.agree is None:
        return [0, 0, 0, 0]
    checked = capture.audited and capture.by == "student"
    return [
        int(capture.agree),
        int(not capture.agree),
        int(checked and capture.agree),
        int(checked and not capture.agree),
    ]


def _add(sums: dict[tuple[int, str, str, str], list[float]], capture: Capture, added: list[float]) -> None:
    place = (int(capture.at // 60), capture.stage, capture.by, capture.slice)
    before = sums.get(place)
    sums[place] = added if before is None else [old + new for old, new in zip(before, added, strict=True)]
