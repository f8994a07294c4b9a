"""The run that each series is a volume of, where the scanner split a run into series."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SOME = sa.text("run_pk IS NOT NULL")


def upgrade() -> None:
    op.add_column("series", sa.Column("run_pk", _KEY, nullable=True))
    op.create_index(
        "ix_series_run_pk", "series", ["run_pk"], sqlite_where=_SOME, postgresql_where=_SOME
    )


def downgrade() -> None:
    op.drop_index("ix_series_run_pk", table_name="series")
    op.drop_column("series", "run_pk")
