"""CRC-32 beside SHA-256, damaged files, and the progress of verification."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("crc32", sa.BigInteger(), nullable=True))
    op.add_column("conflict", sa.Column("crc32", sa.BigInteger(), nullable=True))
    op.add_column("publication", sa.Column("digests", sa.JSON(), nullable=True))
    op.create_table(
        "damage",
        sa.Column("path", sa.String(), nullable=False),
        sa.Column(
            "series_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("sentence", sa.String(), nullable=False),
        sa.Column("found_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_pk"], ["series.id"], name=op.f("fk_damage_series_pk_series")
        ),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_damage")),
    )
    op.create_index(op.f("ix_damage_series_pk"), "damage", ["series_pk"])
    op.create_table(
        "verification",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_verification")),
    )


def downgrade() -> None:
    op.drop_table("verification")
    op.drop_index(op.f("ix_damage_series_pk"), table_name="damage")
    op.drop_table("damage")
    op.drop_column("publication", "digests")
    op.drop_column("conflict", "crc32")
    op.drop_column("instance", "crc32")
