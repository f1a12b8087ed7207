"""Captures and their tallies in the database."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tutelage.serving.captures import Capture, first_id
from tutelage.serving.reviews import ESCALATED
from tutelage.serving.store._records import Tally, Totals
from tutelage.serving.store._tables import CAPTURES, MONITORS, TALLIES, PlainText, plain

_AT_ONCE = 500  # ids of one query
_NAMES = tuple(field.name for field in fields(Capture))
_ALL = attrgetter(*_NAMES)
_TEXTS = tuple(column.name for column in CAPTURES.c if isinstance(column.type, PlainText))
_SUMS = ("requests", "agreed", "disagreed", "audit_agreed", "audit_disagreed", "latency", "cost")
_DIMENSIONS = (TALLIES.c.stage, TALLIES.c.by, TALLIES.c.slice)
_COMPLETE = (
    sa.update(CAPTURES)
    .where(
        CAPTURES.c.id == sa.bindparam("completed"),
        CAPTURES.c.teacher_value.is_(None),
        CAPTURES.c.agree.is_(None),  # one that is written again after a kill counts once
    )
    .values(
        teacher_value=sa.bindparam("teachers"),
        agree=sa.bindparam("agrees"),
        cost=CAPTURES.c.cost + sa.bindparam("added"),
        audited=True,
    )
    .returning(*CAPTURES.c)
)


@dataclass(frozen=True, slots=True)
class Completion:
    """What an audit that came back later adds to its capture."""

    id: str
    teacher_value: str | None
    agree: bool | None
    cost: float


class Recording:
    """The statements that every capture needs, put into words once for a dialect.

    To build and look up a statement takes several times as long as to run it, and all of it is time in which
    the event loop can't go on.
    """

    def __init__(self, dialect: sa.Dialect) -> None:
        upserting = sqlite_insert if dialect.name == "sqlite" else postgresql_insert
        tallying, monitoring = upserting(TALLIES), upserting(MONITORS)
        self._insert = str(sa.insert(CAPTURES).compile(dialect=dialect))
        self._tally = str(
            tallying.on_conflict_do_update(
                index_elements=list(TALLIES.primary_key.columns),
                set_={name: TALLIES.c[name] + tallying.excluded[name] for name in _SUMS},
            ).compile(dialect=dialect)
        )
        self._monitor = str(
            monitoring.on_conflict_do_update(
                index_elements=[MONITORS.c.name], set_={"state": monitoring.excluded.state}
            ).compile(dialect=dialect)
        )

    def insert(self, connection: sa.Connection, captures: Sequence[Capture]) -> None:
        """Write captures down."""
        connection.exec_driver_sql(self._insert, [_row(capture) for capture in captures])

    def count(
        self,
        connection: sa.Connection,
        captures: Iterable[Capture],
        completed: Iterable[tuple[Completion, Capture]],
    ) -> None:
        """Add to the tallies of the minutes in which the requests came."""
        sums: dict[tuple[int, str, str, str], list[float]] = {}
        for capture in captures:
            _add(sums, capture, [1, *_agreements(capture), capture.latency, capture.cost])
        for completion, capture in completed:
            _add(sums, capture, [0, *_agreements(capture), 0.0, completion.cost])
        if sums:
            # Sorted: two servers that lock the same rows do so in the same order, and never for each other.
            connection.exec_driver_sql(self._tally, [_added(*item) for item in sorted(sums.items())])

    def save_monitors(self, connection: sa.Connection, states: Mapping[str, Any]) -> None:
        """Put each monitor's state in the place of its last one."""
        rows = [{"name": plain(name), "state": json.dumps(states[name])} for name in sorted(states)]
        connection.exec_driver_sql(self._monitor, rows)


def complete(
    connection: sa.Connection, completions: Iterable[Completion]
) -> list[tuple[Completion, Capture]]:
    """Add what audits found; those with their captures as they are now.

    One whose capture is gone, or has the teacher's value already, is left out.
    """
    found = []
    for completion in completions:
        row = connection.execute(
            _COMPLETE,
            {
                "completed": completion.id,
                "teachers": completion.teacher_value,
                "agrees": completion.agree,
                "added": completion.cost,
            },
        ).one_or_none()
        if row is not None:
            found.append((completion, Capture(**row._mapping)))
    return found


def select(
    connection: sa.Connection,
    *,
    since: float | None,
    before: str | None,
    by: str | None,
    slice: str | None,
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
    if slice is not None:
        query = query.where(CAPTURES.c.slice == slice)
    if disagreeing is not None:
        query = query.where(CAPTURES.c.agree == sa.literal(not disagreeing, literal_execute=True))
    if audited is not None:
        query = query.where(CAPTURES.c.audited == audited)
    return [Capture(**row) for row in connection.execute(query).mappings()]


def of_keys(connection: sa.Connection, keys: Collection[str]) -> list[Capture]:
    """See `Store.captures_of`."""
    query = sa.select(CAPTURES).where(CAPTURES.c.key.in_(sorted(keys))).order_by(CAPTURES.c.id)
    return [Capture(**row) for row in connection.execute(query).mappings()]


def totals(connection: sa.Connection, since: float) -> Totals:
    """See `Store.totals`."""
    query = _summed().where(TALLIES.c.minute >= int(since // 60)).order_by(*_DIMENSIONS)
    return Totals(since, tuple(_tally(row) for row in connection.execute(query).mappings()))


def series(connection: sa.Connection, since: float, minutes: int) -> list[Totals]:
    """See `Store.series`."""
    start = (TALLIES.c.minute - TALLIES.c.minute % minutes).label("start")
    query = (
        _summed(start)
        .where(TALLIES.c.minute >= int(since // 60) // minutes * minutes)
        .order_by(start, *_DIMENSIONS)
    )
    found: dict[int, list[Tally]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(int(row["start"]), []).append(_tally(row))
    return [Totals(60.0 * start, tuple(tallies)) for start, tallies in found.items()]


def _summed(*more: sa.ColumnElement[Any]) -> sa.Select[Any]:
    sums = [sa.func.sum(TALLIES.c[name]).label(name) for name in _SUMS]
    return sa.select(*more, *_DIMENSIONS, *sums).group_by(*more, *_DIMENSIONS)


def _tally(row: sa.RowMapping) -> Tally:
    # PostgreSQL sums whole numbers as decimals.
    counts: dict[str, Any] = {name: int(row[name]) for name in _SUMS if name not in ("latency", "cost")}
    named = {column.name: row[column.name] for column in _DIMENSIONS}
    return Tally(**named, **counts, latency=row["latency"], cost=row["cost"])


def _row(capture: Capture) -> dict[str, Any]:
    row = dict(zip(_NAMES, _ALL(capture), strict=True))
    for name in _TEXTS:
        if row[name]:
            row[name] = plain(row[name])
    return row


def _added(place: tuple[int, str, str, str], sums: Sequence[float]) -> dict[str, Any]:
    minute, stage, by, slice_ = place
    return {
        "minute": minute,
        "stage": stage,
        "by": by,
        "slice": slice_,
        **dict(zip(_SUMS, sums, strict=True)),
    }


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
    place = (int(capture.at // 60), plain(capture.stage), plain(capture.by), plain(capture.slice))
    before = sums.get(place)
    sums[place] = added if before is None else [old + new for old, new in zip(before, added, strict=True)]


def most_valuable(connection: sa.Connection, most: int, known: Collection[str]) -> list[Capture]:
    """See `Store.most_valuable`."""
    sure = sa.func.coalesce(CAPTURES.c.confidence, 0.0)  # NaN was never written: it is no value to SQL
    confidence = sa.case((sure.between(0.0, 1.0), sure), else_=0.0)
    # `reviews.value_of`, where a database can sort by it.
    value = sa.case(
        (CAPTURES.c.agree == sa.literal(False, literal_execute=True), 2.0 + confidence),
        ((CAPTURES.c.by == "nobody") | CAPTURES.c.reason.in_(ESCALATED), 2.0 - confidence),
        else_=1.0 - confidence,
    )
    ranked = (
        sa.select(CAPTURES.c.hash, sa.func.max(CAPTURES.c.id).label("id"))
        .where(CAPTURES.c.text.is_not(None))
        .group_by(CAPTURES.c.hash)
        .order_by(sa.func.max(value).desc(), sa.func.count().desc(), CAPTURES.c.hash)
    )
    chosen: list[str] = []
    for row in connection.execute(ranked):
        if len(chosen) == most:
            break
        if row.hash not in known:
            chosen.append(row.id)
    found = {capture.id: capture for capture in _by_id(connection, chosen)}
    return [found[id] for id in chosen]


def present(connection: sa.Connection, ids: Collection[str]) -> set[str]:
    """Those of the ids that there are captures of."""
    asked, found = sorted(ids), set[str]()
    for start in range(0, len(asked), _AT_ONCE):
        query = sa.select(CAPTURES.c.id).where(CAPTURES.c.id.in_(asked[start : start + _AT_ONCE]))
        found.update(connection.execute(query).scalars())
    return found


def _by_id(connection: sa.Connection, ids: Sequence[str]) -> Iterator[Capture]:
    for start in range(0, len(ids), _AT_ONCE):
        query = sa.select(CAPTURES).where(CAPTURES.c.id.in_(ids[start : start + _AT_ONCE]))
        yield from (Capture(**row) for row in connection.execute(query).mappings())
