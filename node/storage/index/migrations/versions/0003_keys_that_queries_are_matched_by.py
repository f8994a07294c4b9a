"""Keys that queries are matched by: the groups of names, and bytewise order on PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from node.core.query_keys import name_groups

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BYTEWISE = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_GROUPS = ("name_alphabetic", "name_ideographic", "name_phonetic")
_COMPARED = {
    "patient": ("patient_id", "issuer", "birth_date", "sex"),
    "study": (
        "uid", "date", "time", "accession", "study_id", "description", "referring_key",
    ),
    "study_modality": ("modality",),
    "series": ("uid", "modality", "description", "body_part", "date", "time"),
    "instance": ("uid", "sop_class_uid"),
}  # fmt: skip


def upgrade() -> None:
    for column in _GROUPS:
        op.add_column("patient", sa.Column(column, _BYTEWISE, server_default="", nullable=False))
    _fill_groups()
    op.drop_index(op.f("ix_patient_name_key"), table_name="patient")
    for column in _GROUPS:
        op.create_index(op.f(f"ix_patient_{column}"), "patient", [column])
    _collate(_BYTEWISE)


def downgrade() -> None:
    _collate(sa.String())
    for column in _GROUPS:
        op.drop_index(op.f(f"ix_patient_{column}"), table_name="patient")
    op.create_index(op.f("ix_patient_name_key"), "patient", ["name_key"])
    for column in reversed(_GROUPS):
        op.drop_column("patient", column)


def _fill_groups() -> None:
    connection = op.get_bind()
    patient = sa.table("patient", sa.column("id"), sa.column("name"), *map(sa.column, _GROUPS))
    for row in connection.execute(sa.select(patient.c.id, patient.c.name)).all():
        connection.execute(
            sa.update(patient)
            .where(patient.c.id == row.id)
            .values(dict(zip(_GROUPS, name_groups(row.name), strict=True)))
        )


def _collate(form: sa.types.TypeEngine[str]) -> None:
    """SQLite compares bytes anyway, and would have to copy the tables."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in _COMPARED.items():
        for column in columns:
            op.alter_column(table, column, type_=form, existing_nullable=False)
