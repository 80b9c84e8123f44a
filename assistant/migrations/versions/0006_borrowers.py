"""Whose conversation it is, as a keyed hash, and which tokens were used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("subject", sa.String(length=64), nullable=True))
    op.create_index("ix_conversations_subject", "conversations", ["subject"])
    op.create_table(
        "used_tokens",
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id_hash"),
    )
    op.create_index("ix_used_tokens_expires_at", "used_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_table("used_tokens")
    op.drop_index("ix_conversations_subject", "conversations")
    op.drop_column("conversations", "subject")
