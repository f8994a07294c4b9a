"""Indexes for finding series and studies by what people know of them."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_series_modality_date", "series", ["modality", "date"]),
    ("ix_series_date", "series", ["date"]),
    ("ix_arrival_association_pk_series_pk", "arrival", ["association_pk", "series_pk"]),
    ("ix_association_called_ae_id", "association", ["called_ae", "id"]),
)
_OF_SQLITE = (
    (
        "ix_series_search",
        "series",
        ["description", "uid", "study_pk", "modality", "date", "state"],
    ),
    ("ix_study_search", "study", ["description", "uid", "accession", "patient_pk"]),
    ("ix_patient_search", "patient", ["name_key", "patient_id"]),
)


def upgrade() -> None:
    for name, table, columns in _wanted():
        op.create_index(name, table, columns, if_not_exists=True)


def downgrade() -> None:
    for name, table, _ in reversed(_wanted()):
        op.drop_index(name, table_name=table, if_exists=True)


def _wanted() -> tuple[tuple[str, str, list[str]], ...]:
    sqlite = op.get_bind().dialect.name == "sqlite"
    return _INDEXES + (_OF_SQLITE if sqlite else ())
