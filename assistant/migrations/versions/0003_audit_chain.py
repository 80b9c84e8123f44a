"""The audit chain, and what a record needs so that its reply can be made again or erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ADDED = (
    ("rules_version", sa.String(length=64)),
    ("texts", sa.JSON()),
    ("played", sa.JSON()),
    ("salt", sa.String(length=64)),
    ("erased_seq", sa.Integer()),
)


def upgrade() -> None:
    for name, kind in ADDED:
        op.add_column("records", sa.Column(name, kind, nullable=True))
    if op.get_bind().dialect.name != "sqlite":
        # The versions of four prompts are longer than 64 characters; SQLite does not count.
        op.alter_column("records", "prompt_version", type_=sa.Text())
    op.create_table(
        "audit_entries",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_audit_entries_subject", "audit_entries", ["subject", "kind"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_audit_entries_subject", table_name="audit_entries")
    op.drop_table("audit_entries")
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(
            "records",
            "prompt_version",
            type_=sa.String(length=64),
            postgresql_using="left(prompt_version, 64)",
        )
    for name, _ in reversed(ADDED):
        op.drop_column("records", name)
