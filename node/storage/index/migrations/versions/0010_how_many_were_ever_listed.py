"""The number of instances that an index has ever listed."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COUNTED = (
    "INSERT INTO total (name, value) SELECT 'listed', count(*) FROM"
    " (SELECT id FROM instance UNION ALL SELECT id FROM conflict) AS everything"
)


def upgrade() -> None:
    op.execute(_COUNTED)


def downgrade() -> None:
    op.execute("DELETE FROM total WHERE name = 'listed'")
