"""The sender of each conflict, for its quota."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conflict", sa.Column("sender", sa.String(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("conflict", "sender")
