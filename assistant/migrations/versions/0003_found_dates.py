"""Dates found in documents, documents with confirmed dates, how many findings a release has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("documents", sa.Column("found", sa.Text(), nullable=True))
    op.add_column("documents", sa.Column("base", sa.String(length=64), nullable=True))
    op.add_column("releases", sa.Column("findings", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("releases", "findings")
    op.drop_column("documents", "base")
    op.drop_column("documents", "found")
