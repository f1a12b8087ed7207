"""The first schema: captures, tallies, rollout, keys, monitors, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "captures",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("slice", sa.Text, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("hash", sa.String(32), nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("confidence", sa.Float(53)),
        sa.Column("student_value", sa.Text),
        sa.Column("teacher_value", sa.Text),
        sa.Column("agree", sa.Boolean),
        sa.Column("audited", sa.Boolean, nullable=False),
        sa.Column("latency", sa.Float(53), nullable=False),
        sa.Column("cost", sa.Float(53), nullable=False),
    )
    # Disagreements are few and looked for often; a full index over `agree` would cost every write.
    op.create_index(
        "captures_disagreeing",
        "captures",
        ["id"],
        sqlite_where=sa.text("agree = 0"),
        postgresql_where=sa.text("agree = false"),
    )
    op.create_index("captures_of_a_key", "captures", ["key"])
    op.create_table(
        "tallies",
        sa.Column("minute", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("stage", sa.Text, primary_key=True),
        sa.Column("by", sa.Text, primary_key=True),
        sa.Column("slice", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("requests", "agreed", "disagreed", "audit_agreed", "audit_disagreed")
        ),
        sa.Column("latency", sa.Float(53), nullable=False),
        sa.Column("cost", sa.Float(53), nullable=False),
    )
    _make_the_rest()


def _make_the_rest() -> None:
    op.create_table(
        "rollout_changes",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("share", sa.Float(53), nullable=False),
        sa.Column("threshold", sa.Float(53)),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("revoked", sa.Float(53)),
        sa.Column("last_used", sa.Text, nullable=False),
    )
    op.create_table(
        "monitors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.JSON, nullable=False),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("acknowledged_by", sa.Text, nullable=False),
        sa.Column("acknowledged_at", sa.Float(53)),
    )
