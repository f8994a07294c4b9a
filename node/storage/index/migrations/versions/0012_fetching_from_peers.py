"""Jobs that fetch studies from peers, their rows and studies, and how each peer is fetched from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "pull_job",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("peer", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("ordered", sa.String(), nullable=False),
        sa.Column("series", sa.JSON(), nullable=False),
        sa.Column("way", sa.String(), nullable=False),
        sa.Column("time_window", sa.String(), nullable=False),
        sa.Column("rate", sa.String(), nullable=False),
        sa.Column("parallel", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_job")),
        sa.UniqueConstraint("name", name=op.f("uq_pull_job_name")),
    )
    op.create_table(
        "pull_item",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("job_pk", _KEY, nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("query", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_pk"], ["pull_job.id"], name=op.f("fk_pull_item_job_pk_pull_job")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_item")),
    )
    op.create_index(op.f("ix_pull_item_job_pk_state_due"), "pull_item", ["job_pk", "state", "due"])
    op.create_table(
        "pull_study",
        sa.Column("item_pk", _KEY, nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("missing", sa.JSON(), nullable=False),
        sa.Column("missing_count", sa.Integer(), nullable=False),
        sa.Column("series", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_pk"], ["pull_item.id"], name=op.f("fk_pull_study_item_pk_pull_item")
        ),
        sa.PrimaryKeyConstraint("item_pk", "uid", name=op.f("pk_pull_study")),
    )
    op.create_table(
        "pull_peer",
        sa.Column("peer", sa.String(), nullable=False),
        sa.Column("way", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("peer", name=op.f("pk_pull_peer")),
    )


def downgrade() -> None:
    op.drop_table("pull_peer")
    op.drop_table("pull_study")
    op.drop_index(op.f("ix_pull_item_job_pk_state_due"), table_name="pull_item")
    op.drop_table("pull_item")
    op.drop_table("pull_job")
