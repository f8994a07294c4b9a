"""What the volumes of a BIDS dataset know of each other: names, times, field maps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sibling",
        sa.Column(
            "series_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("known", sa.JSON(), nullable=False),
        sa.Column("made", sa.JSON(), nullable=True),
        sa.Column("row", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_pk"], ["series.id"], name=op.f("fk_sibling_series_pk_series")
        ),
        sa.PrimaryKeyConstraint("series_pk", "number", name=op.f("pk_sibling")),
    )
    op.create_index(op.f("ix_sibling_scope"), "sibling", ["scope"])


def downgrade() -> None:
    op.drop_index(op.f("ix_sibling_scope"), table_name="sibling")
    op.drop_table("sibling")
