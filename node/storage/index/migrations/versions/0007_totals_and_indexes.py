"""Totals, and indexes for frequent queries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_series_state_id", "series", ["state", "id"]),
    ("ix_series_state_last_arrival", "series", ["state", "last_arrival"]),
    ("ix_series_last_arrival", "series", ["last_arrival"]),
    ("ix_instance_association_pk", "instance", ["association_pk"]),
    ("ix_association_calling_ae_id", "association", ["calling_ae", "id"]),
    ("ix_statement_reference", "statement", ["reference"]),
    ("ix_statement_at", "statement", ["at"]),
    ("ix_procedure_step_created_at", "procedure_step", ["created_at"]),
)
_PARTIAL = (
    ("ix_series_due", ["due"], "due IS NOT NULL"),
    ("ix_series_settled_since", ["state", "state_since"], "state = 'settled'"),
)
_COUNTED = (
    "SELECT 'patients', count(*) FROM patient",
    "SELECT 'studies', count(*) FROM study",
    "SELECT 'series', count(*) FROM series",
    "SELECT 'instances', count(*) FROM instance",
    "SELECT 'conflicts', count(*) FROM conflict",
    "SELECT 'bytes', CAST(coalesce(sum(size), 0) AS BIGINT) FROM instance",
    "SELECT 'series_' || state, count(*) FROM series GROUP BY state",
    "SELECT 'deliveries_' || state, count(*) FROM delivery GROUP BY state",
)


def upgrade() -> None:
    op.create_table(
        "total",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_total")),
    )
    op.drop_index("ix_series_state_due", table_name="series")
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns)
    for name, columns, where in _PARTIAL:
        op.create_index(
            name, "series", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
    for counted in _COUNTED:
        op.execute(f"INSERT INTO total (name, value) {counted}")


def downgrade() -> None:
    for name, _, _ in _PARTIAL:
        op.drop_index(name, table_name="series")
    for name, table, _ in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
    op.create_index("ix_series_state_due", "series", ["state", "due"])
    op.drop_table("total")
