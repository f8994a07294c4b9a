"""UIDs of several patients, studies or series, and output names as file systems compare them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from node.core.output_names import folded

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BYTEWISE = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("patient") as table:
        table.drop_constraint("uq_patient_patient_id_issuer", type_="unique")
    op.create_index(
        "ix_patient_patient_id_issuer_name_key", "patient", ["patient_id", "issuer", "name_key"]
    )
    with op.batch_alter_table("study") as table:
        table.drop_constraint("uq_study_uid", type_="unique")
        table.create_unique_constraint("uq_study_uid_patient_pk", ["uid", "patient_pk"])
    with op.batch_alter_table("series") as table:
        table.add_column(sa.Column("part", sa.Integer(), server_default="0", nullable=False))
        table.drop_constraint("uq_series_uid", type_="unique")
        table.create_unique_constraint("uq_series_uid_part", ["uid", "part"])
    with op.batch_alter_table("instance") as table:
        table.drop_constraint("uq_instance_uid", type_="unique")
        table.create_unique_constraint("uq_instance_uid_series_pk", ["uid", "series_pk"])
    op.create_table(
        "namesake",
        sa.Column("series_pk", _KEY, nullable=False),
        sa.Column("other_pk", _KEY, nullable=False),
        sa.Column("shared", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["series_pk"], ["series.id"], name=op.f("fk_namesake_series_pk")),
        sa.ForeignKeyConstraint(["other_pk"], ["series.id"], name=op.f("fk_namesake_other_pk")),
        sa.PrimaryKeyConstraint("series_pk", "other_pk", "shared", name=op.f("pk_namesake")),
    )
    op.create_index("ix_namesake_other_pk", "namesake", ["other_pk"])
    op.add_column("output", sa.Column("folded", _BYTEWISE, server_default="", nullable=False))
    _fold_stems()
    op.create_index("ix_output_folded", "output", ["folded"])


def _fold_stems() -> None:
    connection = op.get_bind()
    output = sa.table("output", sa.column("stem"), sa.column("folded"))
    stems = connection.scalars(sa.select(output.c.stem)).all()
    if stems:
        connection.execute(
            sa.update(output)
            .where(output.c.stem == sa.bindparam("known"))
            .values(folded=sa.bindparam("as_compared")),
            [{"known": stem, "as_compared": folded(stem)} for stem in stems],
        )


def downgrade() -> None:
    """Only as long as no UID came twice: the constraints are those of before."""
    op.drop_index("ix_output_folded", table_name="output")
    op.drop_column("output", "folded")
    op.drop_table("namesake")
    with op.batch_alter_table("instance") as table:
        table.drop_constraint("uq_instance_uid_series_pk", type_="unique")
        table.create_unique_constraint("uq_instance_uid", ["uid"])
    with op.batch_alter_table("series") as table:
        table.drop_constraint("uq_series_uid_part", type_="unique")
        table.drop_column("part")
        table.create_unique_constraint("uq_series_uid", ["uid"])
    with op.batch_alter_table("study") as table:
        table.drop_constraint("uq_study_uid_patient_pk", type_="unique")
        table.create_unique_constraint("uq_study_uid", ["uid"])
    op.drop_index("ix_patient_patient_id_issuer_name_key", table_name="patient")
    with op.batch_alter_table("patient") as table:
        table.create_unique_constraint("uq_patient_patient_id_issuer", ["patient_id", "issuer"])
