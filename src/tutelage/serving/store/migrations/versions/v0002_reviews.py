"""Items before people, who has claimed them, and verdicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make their tables."""
    op.create_table(
        "reviews",
        sa.Column("capture", sa.String(32), primary_key=True),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("due", sa.Float(53), nullable=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("independent", sa.Integer, nullable=False),
        sa.Column("closed", sa.Float(53)),
    )
    op.create_index(
        "reviews_open",
        "reviews",
        ["due"],
        sqlite_where=sa.text("closed IS NULL"),
        postgresql_where=sa.text("closed IS NULL"),
    )
    op.create_table(
        "review_claims",
        sa.Column("capture", sa.String(32), primary_key=True),
        sa.Column("reviewer", sa.Text, primary_key=True),
        sa.Column("until", sa.Float(53), nullable=False),
    )
    op.create_table(
        "review_verdicts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("capture", sa.String(32), nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("withdrawn", sa.Float(53)),
    )
    op.create_index(
        "review_verdicts_standing",
        "review_verdicts",
        ["capture", "reviewer"],
        unique=True,
        sqlite_where=sa.text("withdrawn IS NULL"),
        postgresql_where=sa.text("withdrawn IS NULL"),
    )
    op.create_index("review_verdicts_of_a_reviewer", "review_verdicts", ["reviewer", "id"])
