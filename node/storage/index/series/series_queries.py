"""Queries of each look at a series, put together once: that takes longer than their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, Select, and_, bindparam, func, or_, select

from node.core.records import SeriesState
from node.storage.index.schema import (
    ArrivalRow,
    AssociationRow,
    ConflictRow,
    HeaderRow,
    InstanceRow,
    OutputRow,
    PatientRow,
    SeriesEventRow,
    SeriesRow,
    StudyRow,
)

COMPLETION: Final = "completion"
"""The actor of decisions by evidence in the history of series; people have their own names."""
_ENDS: Final = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED)

PK: Final[BindParameter[int]] = bindparam("pk")
"""The row of the series."""
ARRIVALS: Final = (
    select(
        AssociationRow.id,
        AssociationRow.calling_ae,
        AssociationRow.called_ae,
        AssociationRow.address,
        AssociationRow.end,
        AssociationRow.ended_at,
        ArrivalRow.first_at,
        ArrivalRow.last_at,
        ArrivalRow.instances,
    )
    .join(AssociationRow, AssociationRow.id == ArrivalRow.association_pk)
    .where(ArrivalRow.series_pk == PK)
    .order_by(ArrivalRow.first_at)
)
ATTRIBUTES: Final = (
    select(PatientRow.attributes, StudyRow.attributes, SeriesRow.attributes)
    .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
    .join(PatientRow, PatientRow.id == StudyRow.patient_pk)
    .where(SeriesRow.id == PK)
)
HEADERS: Final = (
    select(InstanceRow.id, InstanceRow.uid, InstanceRow.number, HeaderRow.header)
    .join(HeaderRow, HeaderRow.instance_pk == InstanceRow.id)
    .where(InstanceRow.series_pk == PK, InstanceRow.id > bindparam("after"))
    .order_by(InstanceRow.id)
)
STEMS: Final = select(OutputRow.stem).where(OutputRow.series_pk == PK).order_by(OutputRow.stem)
_OF_SERIES: Final = SeriesEventRow.series_pk == PK
_ENDED: Final = and_(
    _OF_SERIES,
    SeriesEventRow.from_state == SeriesState.ASSEMBLING,
    SeriesEventRow.to_state.in_(_ENDS),
)
_GAVE_UP: Final = and_(
    _OF_SERIES,
    SeriesEventRow.from_state == SeriesState.RECEIVING,
    SeriesEventRow.to_state.in_((SeriesState.HELD, SeriesState.FAILED)),
    SeriesEventRow.actor == COMPLETION,
)
BACKGROUND: Final = select(
    select(func.count()).where(_ENDED).scalar_subquery(),
    select(SeriesRow.held_by).where(SeriesRow.id == PK).scalar_subquery(),
    select(func.max(SeriesEventRow.id)).where(_ENDED).scalar_subquery(),
    select(func.max(SeriesEventRow.id)).where(_GAVE_UP).scalar_subquery(),
)
"""How many assemblies ended, who holds it, and the last events of end and of giving up."""


def stored_columns(kept: type[InstanceRow | ConflictRow], header: Any) -> Sequence[Any]:
    """The columns that make a `StoredInstance`, in its order."""
    return (
        InstanceRow.uid,
        InstanceRow.sop_class_uid,
        kept.transfer_syntax_uid,
        kept.path,
        kept.size,
        kept.sha256,
        kept.data_set_offset,
        kept.pixel_offset,
        kept.pixel_length,
        kept.received_at,
        header,
        kept.crc32,
    )


def _instances_of(run: Select[Any]) -> tuple[Select[Any], Select[Any]]:
    """The queries of instances of some series, and of their conflicts."""
    first = (
        select(*stored_columns(InstanceRow, HeaderRow.header))
        .join(HeaderRow, HeaderRow.instance_pk == InstanceRow.id)
        .where(InstanceRow.series_pk.in_(run))
        .order_by(InstanceRow.uid)
    )
    others = (
        select(*stored_columns(ConflictRow, ConflictRow.header))
        .join(InstanceRow, InstanceRow.id == ConflictRow.instance_pk)
        .where(InstanceRow.series_pk.in_(run))
        .order_by(InstanceRow.uid, ConflictRow.id)
    )
    return first, others


INSTANCES: Final = {
    False: _instances_of(select(SeriesRow.id).where(SeriesRow.id == PK)),
    True: _instances_of(
        select(SeriesRow.id).where(or_(SeriesRow.id == PK, SeriesRow.run_pk == PK))
    ),
}
"""By whether the other series of a run are wanted, too."""
