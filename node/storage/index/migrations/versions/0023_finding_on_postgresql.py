"""PostgreSQL searches a narrow index, too; deliveries of one event are found by an index."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0017"
branch_labels = None
depends_on = None

# Cut off, as PostgreSQL refuses a row whose values are too long for an index.
_COLUMNS = (
    ("search_text", "lower(left(description, 200)) || ' ' || left(uid, 64)"),
    ("search_title", "left(description, 100)"),
    ("search_modality", "left(modality, 64)"),
    ("search_date", "left(date, 64)"),
)
_KEPT = "search_text, study_pk, search_modality, search_date, state"


def upgrade() -> None:
    op.create_index("ix_delivery_event_id", "delivery", ["event", "id"], if_not_exists=True)
    if op.get_bind().dialect.name == "sqlite":
        return
    added = ", ".join(
        f'ADD COLUMN IF NOT EXISTS {name} text COLLATE "C" GENERATED ALWAYS AS ({value}) STORED'
        for name, value in _COLUMNS
    )
    op.execute(f"ALTER TABLE series {added}")
    op.execute(
        "CREATE INDEX IF NOT EXISTS ix_series_search ON series (search_title, id) "
        f"INCLUDE ({_KEPT})"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP INDEX IF EXISTS ix_series_search")
        dropped = ", ".join(f"DROP COLUMN IF EXISTS {name}" for name, _ in _COLUMNS)
        op.execute(f"ALTER TABLE series {dropped}")
    op.drop_index("ix_delivery_event_id", table_name="delivery", if_exists=True)
