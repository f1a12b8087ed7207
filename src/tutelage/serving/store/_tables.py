"""The tables as queries see them; `migrations/` makes and changes them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator

from tutelage.records import storable

METADATA = MetaData()


def plain(text: str) -> str:
    """Text that both databases take: no lone surrogates, and no zero character, which PostgreSQL refuses."""
    return storable(text).replace("\0", "\N{SYMBOL FOR NULL}")


class PlainText(TypeDecorator[str]):
    """A column of text that goes in as `plain` makes it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """See `plain`."""
        return value and plain(value)


CAPTURES = Table(
    "captures",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("at", Float(53), nullable=False),
    Column("key", PlainText, nullable=False),
    Column("slice", PlainText, nullable=False),
    Column("text", PlainText),
    Column("hash", String(32), nullable=False),
    Column("stage", PlainText, nullable=False),
    Column("by", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("revision", PlainText, nullable=False),
    Column("value", PlainText),
    Column("confidence", Float(53)),
    Column("student_value", PlainText),
    Column("teacher_value", PlainText),
    Column("agree", Boolean),
    Column("audited", Boolean, nullable=False),
    Column("latency", Float(53), nullable=False),
    Column("cost", Float(53), nullable=False),
)

# Counted per minute as captures come, so that totals of a month cost no walk over its captures, and stay
# when those are purged.
TALLIES = Table(
    "tallies",
    METADATA,
    Column("minute", BigInteger, primary_key=True),
    Column("stage", PlainText, primary_key=True),
    Column("by", PlainText, primary_key=True),
    Column("slice", PlainText, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False)
        for name in ("requests", "agreed", "disagreed", "audit_agreed", "audit_disagreed")
    ),
    Column("latency", Float(53), nullable=False),
    Column("cost", Float(53), nullable=False),
)

ROLLOUT = Table(
    "rollout_changes",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Float(53), nullable=False),
    Column("actor", PlainText, nullable=False),
    Column("stage", PlainText, nullable=False),
    Column("share", Float(53), nullable=False),
    Column("threshold", Float(53)),
    Column("revision", PlainText, nullable=False),
    Column("reason", PlainText, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False),
    Column("role", PlainText, nullable=False),
    Column("hash", PlainText, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("revoked", Float(53)),
    Column("last_used", PlainText, nullable=False),
)

MONITORS = Table(
    "monitors",
    METADATA,
    Column("name", PlainText, primary_key=True),
    Column("state", JSON, nullable=False),
)

ALERTS = Table(
    "alerts",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("kind", PlainText, nullable=False),
    Column("text", PlainText, nullable=False),
    Column("acknowledged_by", PlainText, nullable=False),
    Column("acknowledged_at", Float(53)),
)

# An item has the id of the capture that it is about.
REVIEWS = Table(
    "reviews",
    METADATA,
    Column("capture", String(32), primary_key=True),
    Column("why", PlainText, nullable=False),
    Column("due", Float(53), nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("independent", Integer, nullable=False),
    Column("closed", Float(53)),
)

CLAIMS = Table(
    "review_claims",
    METADATA,
    Column("capture", String(32), primary_key=True),
    Column("reviewer", PlainText, primary_key=True),
    Column("until", Float(53), nullable=False),
)

VERDICTS = Table(
    "review_verdicts",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("capture", String(32), nullable=False),
    Column("reviewer", PlainText, nullable=False),
    Column("at", Float(53), nullable=False),
    Column("value", PlainText),
    Column("comment", PlainText, nullable=False),
    Column("withdrawn", Float(53)),
)
