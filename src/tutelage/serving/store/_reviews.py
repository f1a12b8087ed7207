"""The queue of items before people, in the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tutelage.errors import UsageError
from tutelage.records import text_hash
from tutelage.review.votes import LONGEST_COMMENT, reviewer_name
from tutelage.serving.captures import Capture, first_id
from tutelage.serving.reviews import (
    ESCALATED,
    RANDOM_DIGITS,
    ReviewCounts,
    Reviewed,
    ReviewItem,
    ReviewPolicy,
    ReviewVerdict,
    Why,
    agreed_value,
    value_of,
)
from tutelage.serving.store._database import Database
from tutelage.serving.store._tables import CAPTURES, CLAIMS, REVIEWS, VERDICTS

_STANDING = VERDICTS.c.withdrawn.is_(None)
_ALWAYS = (Why.NOBODY, Why.RANDOM)
_CHOSEN_FROM = 1_000  # the newest disagreements, and the newest escalations, of which the best are queued
_OPEN = REVIEWS.c.closed.is_(None)


class Reviews:
    """Items, claims and verdicts. Every method is one transaction, on disk when it returns.

    Times are seconds since the epoch. Reviewers are named as `review.reviewer_name` takes names.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(self, policy: ReviewPolicy, *, since: float) -> int:
        """Queue what came since a time and people should look at; how many items are new.

        May be called as often as one likes, by several servers, with times that overlap: a request is queued
        once. Chosen items are queued while fewer than `policy.most_open` are open, the most valuable first.
        """
        with self._database.reading() as connection:
            found = _unqueued(connection, policy, since)
        items = [(capture, why) for capture in found if (why := policy.why(capture)) is not None]
        items.sort(key=lambda item: (item[1] not in _ALWAYS, -value_of(item[0])))
        always = sum(why in _ALWAYS for _, why in items)
        if not items:
            return 0
        with self._database.writing() as connection:
            room = max(always, policy.most_open - _count(connection, _OPEN))
            rows = [_row(capture, why, policy) for capture, why in items[:room]]
            return _insert_new(connection, rows)

    def claim(self, reviewer: str, policy: ReviewPolicy, *, now: float) -> ReviewItem | None:
        """The item that waits longest for this reviewer, theirs for `policy.lease`; None where none does.

        Theirs already, and not decided, comes first: a page that is loaded anew shows the same item. Nobody
        is given an item that they have decided, nor one for which enough others have claims or verdicts.
        """
        reviewer = reviewer_name(reviewer)
        with self._database.writing() as connection:
            _keep_others_out(connection)
            connection.execute(sa.delete(CLAIMS).where(CLAIMS.c.until <= now))
            mine = sa.select(CLAIMS.c.capture).where(CLAIMS.c.reviewer == reviewer)
            found = _items(connection, _OPEN, REVIEWS.c.capture.in_(mine), limit=1)
            found = found or _items(connection, _OPEN, *_free_for(reviewer), limit=1)
            if not found:
                return None
            _take(connection, found[0].capture.id, reviewer, now + policy.lease)
            return found[0]

    def release(self, capture: str, reviewer: str) -> None:
        """Give an item back undecided."""
        with self._database.writing() as connection:
            _drop_claim(connection, capture, reviewer_name(reviewer))

    def decide(
        self, capture: str, reviewer: str, value: str | None, *, now: float, comment: str = ""
    ) -> Reviewed:
        """Record a verdict in the place of the reviewer's earlier one; the item as it stands then.

        `value` is JSON as `records.dump_value` writes it, of which the caller has seen that the task takes
        it; None says that no answer is right. A verdict counts though its claim has expired: it is work done.
        Raises UsageError where there is no such item, or the verdict can't be one.
        """
        reviewer, value, comment = reviewer_name(reviewer), _checked(value), _commented(comment)
        with self._database.writing() as connection:
            _keep_others_out(connection)
            _only(connection, capture)
            _withdraw(connection, now, VERDICTS.c.capture == capture, VERDICTS.c.reviewer == reviewer)
            connection.execute(
                sa.insert(VERDICTS),
                {"capture": capture, "reviewer": reviewer, "at": now, "value": value, "comment": comment},
            )
            _drop_claim(connection, capture, reviewer)
            return _settle(connection, capture, now)

    def undo(self, reviewer: str, policy: ReviewPolicy, *, now: float) -> ReviewItem | None:
        """Take back the reviewer's last verdict; its item, claimed by them anew. None where there is none."""
        reviewer = reviewer_name(reviewer)
        with self._database.writing() as connection:
            _keep_others_out(connection)
            last = (
                sa.select(VERDICTS.c.capture)
                .where(VERDICTS.c.reviewer == reviewer, _STANDING)
                .order_by(VERDICTS.c.id.desc())
                .limit(1)
            )
            capture = connection.execute(last).scalar()
            if capture is None:
                return None
            _withdraw(connection, now, VERDICTS.c.capture == capture, VERDICTS.c.reviewer == reviewer)
            _take(connection, capture, reviewer, now + policy.lease)
            return _settle(connection, capture, now).item

    def find(self, capture: str) -> Reviewed | None:
        """An item with its verdicts; None where the request was never queued."""
        with self._database.reading() as connection:
            found = _items(connection, REVIEWS.c.capture == capture, limit=1)
            return _with_verdicts(connection, found)[0] if found else None

    def waiting(self, *, limit: int = 100) -> list[ReviewItem]:
        """Open items, the one due first at the head."""
        with self._database.reading() as connection:
            return _items(connection, _OPEN, limit=limit)

    def decided(self, *, since: float = 0.0) -> list[Reviewed]:
        """Items that were closed since a time, with their verdicts, in the order of their due times."""
        with self._database.reading() as connection:
            return _with_verdicts(connection, _items(connection, REVIEWS.c.closed >= since))

    def held_out(self) -> set[str]:
        """Hashes of all texts drawn at random, decided or not: what may become gold must not be learned.

        As they came, and as they were kept where something was cut out.
        """
        query = sa.select(CAPTURES.c.hash, CAPTURES.c.text).where(
            CAPTURES.c.id == REVIEWS.c.capture, REVIEWS.c.why == str(Why.RANDOM)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return {hash_ for row in rows for hash_ in (row.hash, text_hash(row.text))}

    def independent(self) -> list[dict[str, str]]:
        """Reviewer to answer, item by item where two or more were asked independently: for agreement.

        `evaluation.agreement` computes Cohen's kappa and Krippendorff's alpha of them.
        """
        with self._database.reading() as connection:
            items = _items(connection, REVIEWS.c.independent > 1)
            units = [reviewed.independent for reviewed in _with_verdicts(connection, items)]
        return [unit for unit in units if len(unit) > 1]

    def counts(self, *, now: float) -> ReviewCounts:
        """How the queue stands."""
        with self._database.reading() as connection:
            claimed = sa.select(CLAIMS.c.capture).where(CLAIMS.c.until > now)
            return ReviewCounts(
                open=_count(connection, _OPEN),
                overdue=_count(connection, _OPEN, REVIEWS.c.due < now),
                claimed=_count(connection, _OPEN, REVIEWS.c.capture.in_(claimed)),
                closed=_count(connection, ~_OPEN),
            )


def forget(connection: sa.Connection, captures: Sequence[str]) -> None:
    """Remove all that people said of captures."""
    for table in (CLAIMS, VERDICTS, REVIEWS):
        connection.execute(sa.delete(table).where(table.c.capture.in_(captures)))


def _keep_others_out(connection: sa.Connection) -> None:
    """As SQLite does for who writes: two reviewers never get the same place at an item."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {CLAIMS.name} IN EXCLUSIVE MODE")


def _unqueued(connection: sa.Connection, policy: ReviewPolicy, since: float) -> list[Capture]:
    """Captures that may be queued: all that have to be, and of those to choose from the newest."""
    query = (
        sa.select(CAPTURES)
        .outerjoin(REVIEWS, REVIEWS.c.capture == CAPTURES.c.id)
        .where(CAPTURES.c.id >= first_id(since), CAPTURES.c.text.is_not(None), REVIEWS.c.capture.is_(None))
        .order_by(CAPTURES.c.id.desc())
    )
    drawn = sa.func.substr(CAPTURES.c.id, RANDOM_DIGITS + 1) < policy.drawn_below
    always = query.where((CAPTURES.c.by == "nobody") | drawn)
    disagreeing = query.where(CAPTURES.c.agree == sa.literal(False, literal_execute=True)).limit(_CHOSEN_FROM)
    escalated = query.where(CAPTURES.c.reason.in_(ESCALATED)).limit(_CHOSEN_FROM)
    found = {
        row["id"]: Capture(**row)
        for wanted in (always, disagreeing, escalated)
        for row in connection.execute(wanted).mappings()
    }
    return list(found.values())


def _insert_new(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Those that another server has queued meanwhile left out."""
    before = _count(connection)
    upserting = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    if rows:
        connection.execute(upserting(REVIEWS).on_conflict_do_nothing(), rows)
    return _count(connection) - before


def _row(capture: Capture, why: Why, policy: ReviewPolicy) -> dict[str, Any]:
    wanted = policy.wanted(capture)
    due = policy.due_at(capture, why)
    return {"capture": capture.id, "why": str(why), "due": due, "wanted": wanted, "independent": wanted}


def _free_for(reviewer: str) -> list[sa.ColumnElement[bool]]:
    verdicts = sa.select(sa.func.count()).where(VERDICTS.c.capture == REVIEWS.c.capture, _STANDING)
    claims = sa.select(sa.func.count()).where(CLAIMS.c.capture == REVIEWS.c.capture)
    mine = sa.select(VERDICTS.c.capture).where(VERDICTS.c.reviewer == reviewer, _STANDING)
    taken = verdicts.scalar_subquery() + claims.scalar_subquery()
    return [REVIEWS.c.capture.not_in(mine), taken < REVIEWS.c.wanted]


def _items(
    connection: sa.Connection, *where: sa.ColumnElement[bool], limit: int | None = None
) -> list[ReviewItem]:
    own = [column.label(f"item_{column.name}") for column in REVIEWS.c]
    query = (
        sa.select(*CAPTURES.c, *own)
        .join(REVIEWS, REVIEWS.c.capture == CAPTURES.c.id)
        .where(*where)
        .order_by(REVIEWS.c.due, REVIEWS.c.capture)
        .limit(limit)
    )
    return [_item(row) for row in connection.execute(query).mappings()]


def _item(row: sa.RowMapping) -> ReviewItem:
    capture = Capture(**{column.name: row[column.name] for column in CAPTURES.c})
    wanted, independent = row["item_wanted"], row["item_independent"]
    return ReviewItem(capture, Why(row["item_why"]), row["item_due"], wanted, independent, row["item_closed"])


def _with_verdicts(connection: sa.Connection, items: Sequence[ReviewItem]) -> list[Reviewed]:
    given: dict[str, list[ReviewVerdict]] = {item.capture.id: [] for item in items}
    query = sa.select(VERDICTS).where(_STANDING).order_by(VERDICTS.c.id)
    if len(items) == 1:
        query = query.where(VERDICTS.c.capture == items[0].capture.id)
    for row in connection.execute(query):
        if row.capture in given:
            verdict = ReviewVerdict(row.capture, row.reviewer, row.at, row.value, row.comment)
            given[row.capture].append(verdict)
    return [Reviewed(item, tuple(given[item.capture.id])) for item in items]


def _only(connection: sa.Connection, capture: str) -> ReviewItem:
    found = _items(connection, REVIEWS.c.capture == capture, limit=1)
    if not found:
        raise UsageError(
            f"no request {capture[:40]!r} waits for a verdict; it may have been purged. "
            "Mend: go on with the next"
        )
    return found[0]


def _settle(connection: sa.Connection, capture: str, now: float) -> Reviewed:
    """Close the item where its verdicts decide it, else open it; where two disagree, ask one more."""
    [reviewed] = _with_verdicts(connection, [_only(connection, capture)])
    item, given = reviewed.item, len(reviewed.verdicts)
    agreed = agreed_value(reviewed.verdicts) is not None
    wanted = item.independent + (given >= item.independent and not agreed)
    done = given >= item.independent and (agreed or given >= wanted)
    closed = (item.closed or now) if done else None
    connection.execute(
        sa.update(REVIEWS).where(REVIEWS.c.capture == capture).values(wanted=wanted, closed=closed)
    )
    settled = ReviewItem(item.capture, item.why, item.due, wanted, item.independent, closed)
    return Reviewed(settled, reviewed.verdicts)


def _take(connection: sa.Connection, capture: str, reviewer: str, until: float) -> None:
    _drop_claim(connection, capture, reviewer)
    connection.execute(sa.insert(CLAIMS), {"capture": capture, "reviewer": reviewer, "until": until})


def _drop_claim(connection: sa.Connection, capture: str, reviewer: str) -> None:
    connection.execute(sa.delete(CLAIMS).where(CLAIMS.c.capture == capture, CLAIMS.c.reviewer == reviewer))


def _withdraw(connection: sa.Connection, now: float, *where: sa.ColumnElement[bool]) -> None:
    connection.execute(sa.update(VERDICTS).where(*where, _STANDING).values(withdrawn=now))


def _count(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(REVIEWS).where(*where)
    return int(connection.execute(query).scalar_one())


def _checked(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        read = json.loads(value)
    except ValueError as error:
        raise UsageError(f"the verdict {value[:40]!r} is no JSON: {error}. Mend: send one") from error
    if read is None:
        return None
    # One spelling: verdicts are compared as text, and keys of a record have no order.
    return json.dumps(read, ensure_ascii=False, sort_keys=True)


def _commented(comment: str) -> str:
    if len(comment) > LONGEST_COMMENT:
        raise UsageError(
            f"the comment has {len(comment):,} characters. Mend: {LONGEST_COMMENT:,} are the most"
        )
    return comment.strip()
