"""The state of studies, and what peers say of which series they have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_AT_REST = (
    "UPDATE study SET state = 'ready' WHERE NOT EXISTS (SELECT 1 FROM series WHERE"
    " series.study_pk = study.id AND series.state IN ('receiving', 'settled', 'assembling'))"
)
"""Studies that an earlier version received are not told of, unless they change."""


def upgrade() -> None:
    columns = (
        sa.Column("state", sa.String(), nullable=False, server_default="receiving"),
        sa.Column("state_since", sa.Float(), nullable=False, server_default="0"),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due", sa.Float(), nullable=True),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("told", sa.JSON(), nullable=True),
    )
    for column in columns:
        op.add_column("study", column)
    op.create_index(
        "ix_study_due",
        "study",
        ["due"],
        sqlite_where=sa.text("due IS NOT NULL"),
        postgresql_where=sa.text("due IS NOT NULL"),
    )
    op.execute(_AT_REST)
    op.create_table(
        "study_statement",
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("peer", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("series", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(
            "study_uid", "source", "reference", name=op.f("pk_study_statement")
        ),
    )
    op.create_index(op.f("ix_study_statement_at"), "study_statement", ["at"])
    op.create_index(op.f("ix_pull_study_uid"), "pull_study", ["uid"])
    op.add_column("procedure_step", sa.Column("studies", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("procedure_step", "studies")
    op.drop_index(op.f("ix_pull_study_uid"), table_name="pull_study")
    op.drop_table("study_statement")
    op.drop_index("ix_study_due", table_name="study")
    for name in ("told", "verdict", "due", "revision", "state_since", "state"):
        op.drop_column("study", name)
