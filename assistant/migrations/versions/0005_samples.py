"""Recorded replies that were drawn and scored, by scorer; verdicts only, no words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "samples",
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("scorer", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "scorer", "version"),
    )
    op.create_index("ix_samples_day", "samples", ["day", "scorer"])


def downgrade() -> None:
    op.drop_table("samples")
