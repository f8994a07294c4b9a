"""The tables. Times are seconds since 1970 UTC; counts are kept by the writer, never counted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from node.core.query_keys import name_groups

Bytewise = String().with_variant(String(collation="C"), "postgresql")
"""Text compared character by character on every database, so that prefixes are ranges."""

BigKey = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER only


class Base(DeclarativeBase):
    """Every table's base; names of constraints are fixed so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of the few rows that a condition holds for, however many others there are."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def _name_group(index: int) -> Any:
    """A column's value from the row's name (node.core.query_keys.name_groups)."""

    def value(context: DefaultExecutionContext) -> str:
        row: dict[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call]
        return name_groups(row["name"])[index]

    return mapped_column(Bytewise, insert_default=value)


class PatientRow(Base):
    """A patient: PatientID within its issuer, or what studies without one say of a person.

    Two people to whom one ID was given have a row each.
    """

    __tablename__ = "patient"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    patient_id: Mapped[str] = mapped_column(Bytewise)
    issuer: Mapped[str] = mapped_column(Bytewise)
    name: Mapped[str]
    name_key: Mapped[str]  # folded: no case, no accents (node.core.query_keys.fold)
    name_alphabetic: Mapped[str] = _name_group(0)  # each group folded, to be found by its prefix
    name_ideographic: Mapped[str] = _name_group(1)
    name_phonetic: Mapped[str] = _name_group(2)
    birth_date: Mapped[str] = mapped_column(Bytewise)
    sex: Mapped[str] = mapped_column(Bytewise)
    attributes: Mapped[dict[str, Any]]
    studies: Mapped[int] = mapped_column(default=0)
    series: Mapped[int] = mapped_column(default=0)
    instances: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        Index(None, "patient_id", "issuer", "name_key"),
        Index(None, "name_alphabetic"),
        Index(None, "name_ideographic"),
        Index(None, "name_phonetic"),
        Index(None, "birth_date"),
    )


class StudyRow(Base):
    """A study of one patient; the same Study Instance UID under another patient is another row."""

    __tablename__ = "study"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    uid: Mapped[str] = mapped_column(Bytewise)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    date: Mapped[str] = mapped_column(Bytewise)
    time: Mapped[str] = mapped_column(Bytewise)
    accession: Mapped[str] = mapped_column(Bytewise)
    study_id: Mapped[str] = mapped_column(Bytewise)
    description: Mapped[str] = mapped_column(Bytewise)
    referring: Mapped[str]
    referring_key: Mapped[str] = mapped_column(Bytewise)
    modalities: Mapped[str]  # backslash-separated, each once, sorted
    sop_classes: Mapped[str]  # likewise
    attributes: Mapped[dict[str, Any]]
    series: Mapped[int] = mapped_column(default=0)
    instances: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        UniqueConstraint("uid", "patient_pk"),
        Index(None, "date", "time"),
        Index(None, "accession"),
        Index(None, "study_id"),
        Index(None, "referring_key"),
    )


class StudyModalityRow(Base):
    """ModalitiesInStudy, one row a modality, so that it can be matched by an index."""

    __tablename__ = "study_modality"

    modality: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    study_pk: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True, index=True)


class SeriesRow(Base):
    """A series, and how far it is on its way to a volume.

    `change` counts the instances and decisions that changed the series. Every transition is a
    compare-and-swap on (state, change), so that two processes never own one series; while it is
    received also on `due`, so that no decision puts off a look that was asked for meanwhile.

    `part` numbers the series of one UID, 0 for the first that came: the same Series Instance UID
    under another study or patient is a series of its own.
    """

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    uid: Mapped[str] = mapped_column(Bytewise)
    part: Mapped[int] = mapped_column(default=0, server_default="0")
    study_pk: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    modality: Mapped[str] = mapped_column(Bytewise)
    number: Mapped[int | None]
    description: Mapped[str] = mapped_column(Bytewise)
    body_part: Mapped[str] = mapped_column(Bytewise)
    date: Mapped[str] = mapped_column(Bytewise)
    time: Mapped[str] = mapped_column(Bytewise)
    attributes: Mapped[dict[str, Any]]
    instances: Mapped[int] = mapped_column(default=0)
    state: Mapped[str]
    state_since: Mapped[float]
    change: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0)
    first_arrival: Mapped[float]
    last_arrival: Mapped[float]
    owner: Mapped[str] = mapped_column(default="")  # who assembles it
    due: Mapped[float | None]  # when the watcher should look again; None: only after a change
    verdict: Mapped[dict[str, Any] | None]
    outputs: Mapped[list[Any] | None]  # published files, relative to storage.root/nifti
    held_by: Mapped[str] = mapped_column(default="", server_default="")  # a person, or nobody

    __table_args__ = (
        UniqueConstraint("uid", "part"),
        _partial("ix_series_due", "due", where="due IS NOT NULL"),
        _partial("ix_series_settled_since", "state", "state_since", where="state = 'settled'"),
        Index(None, "state", "id"),
        Index(None, "state", "last_arrival"),
        Index(None, "last_arrival"),
    )


class InstanceRow(Base):
    """A SOP Instance in the archive; a copy of it in another series is another row."""

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    uid: Mapped[str] = mapped_column(Bytewise)
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    sop_class_uid: Mapped[str] = mapped_column(Bytewise)
    transfer_syntax_uid: Mapped[str]
    number: Mapped[int | None]
    attributes: Mapped[dict[str, Any]]
    path: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    data_set_offset: Mapped[int]
    pixel_offset: Mapped[int | None]
    pixel_length: Mapped[int | None] = mapped_column(BigInteger)
    crc32: Mapped[int | None] = mapped_column(BigInteger)  # of the data set, as sha256 is
    received_at: Mapped[float]
    association_pk: Mapped[int | None] = mapped_column(  # that brought it last, while it counted
        ForeignKey("association.id"),
        index=True,  # or removing an association would read them all
    )

    __table_args__ = (UniqueConstraint("uid", "series_pk"),)


class HeaderRow(Base):
    """The encoded `InstanceHeader`: beside the instance, so that queries never read it."""

    __tablename__ = "instance_header"

    instance_pk: Mapped[int] = mapped_column(ForeignKey("instance.id"), primary_key=True)
    header: Mapped[bytes] = mapped_column(LargeBinary)


class ConflictRow(Base):
    """Another data set that came under a SOP Instance UID that its series had already."""

    __tablename__ = "conflict"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    instance_pk: Mapped[int] = mapped_column(ForeignKey("instance.id"), index=True)
    transfer_syntax_uid: Mapped[str]
    path: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    data_set_offset: Mapped[int]
    pixel_offset: Mapped[int | None]
    pixel_length: Mapped[int | None] = mapped_column(BigInteger)
    crc32: Mapped[int | None] = mapped_column(BigInteger)
    header: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[float]
    sender: Mapped[str] = mapped_column(
        server_default=""
    )  # its address, or senders.IMPORTED; empty: not known

    __table_args__ = (UniqueConstraint("instance_pk", "sha256"),)


class NamesakeRow(Base):
    """Two series that share UIDs; a row for each of them, to be shown with it."""

    __tablename__ = "namesake"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    other_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True, index=True)
    shared: Mapped[str] = mapped_column(primary_key=True)  # records.Shared


class AssociationRow(Base):
    """An association that carried instances: evidence of who sent what and how it ended."""

    __tablename__ = "association"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    calling_ae: Mapped[str]
    called_ae: Mapped[str]
    address: Mapped[str]
    opened_at: Mapped[float]
    ended_at: Mapped[float | None]
    end: Mapped[str]  # records.AssociationEnd
    process: Mapped[str]  # which run of the node took it

    __table_args__ = (Index(None, "end"), Index(None, "calling_ae", "id"))


class ArrivalRow(Base):
    """What one association brought to one series.

    `last_at` and `instances` are of what was new; 0 instances: it only brought again what was
    there.
    """

    __tablename__ = "arrival"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    association_pk: Mapped[int] = mapped_column(
        ForeignKey("association.id"), primary_key=True, index=True
    )
    first_at: Mapped[float]
    last_at: Mapped[float]
    instances: Mapped[int]


class SeriesEventRow(Base):
    """The series' history: every transition and decision, and who made it."""

    __tablename__ = "series_event"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    at: Mapped[float]
    actor: Mapped[str]
    from_state: Mapped[str]
    to_state: Mapped[str]
    revision: Mapped[int]
    detail: Mapped[dict[str, Any]]


class OutputRow(Base):
    """Which series owns which output name, so that two never share a file."""

    __tablename__ = "output"

    stem: Mapped[str] = mapped_column(primary_key=True)
    folded: Mapped[str] = mapped_column(Bytewise, index=True)  # node.core.output_names.folded
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)


class PublicationRow(Base):
    """A revision of a series' volumes: begun before its files appear, visible after they did.

    A revision that was begun and never became visible is finished under the same number after a
    crash if it comes out the same, and abandoned otherwise.
    """

    __tablename__ = "publication"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]  # index.publications.Stage
    fingerprint: Mapped[str]  # of everything that makes one revision differ from another
    files: Mapped[list[Any]]  # relative to storage.root/nifti
    digests: Mapped[dict[str, Any] | None]  # SHA-256 of each file; None: made before they were kept
    verdict: Mapped[dict[str, Any]]
    begun_at: Mapped[float]
    visible_at: Mapped[float | None]


class ReferenceRow(Base):
    """A series whose instances label the voxels of another, which may not be there yet."""

    __tablename__ = "reference"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    referenced_uid: Mapped[str] = mapped_column(primary_key=True, index=True)


class StatementRow(Base):
    """What a peer said belongs to a series: a count, a list, or that more is being made.

    By UID, as a peer may speak of a series before its first instance comes.
    """

    __tablename__ = "statement"

    series_uid: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)  # completion.facts.Source
    reference: Mapped[str] = mapped_column(  # of the MPPS or transaction; a peer
        primary_key=True, index=True
    )
    peer: Mapped[str]
    at: Mapped[float] = mapped_column(index=True)
    final: Mapped[bool]
    instances: Mapped[int | None]
    uids: Mapped[list[Any] | None]


class RefusalRow(Base):
    """A peer that did not answer when it was asked for counts, so that it is not asked in vain."""

    __tablename__ = "refusal"

    peer: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    until: Mapped[float]
    times: Mapped[int]
    reason: Mapped[str]


class DeliveryRow(Base):
    """The outbox: what is to be told to whom. Rows are written with what they tell of."""

    __tablename__ = "delivery"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)  # idempotency key: the same on every attempt
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"))
    target: Mapped[str]
    event: Mapped[str]
    revision: Mapped[int]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str]  # index.outbox.DeliveryState
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[float | None]
    created_at: Mapped[float]
    ended_at: Mapped[float | None]
    error: Mapped[str] = mapped_column(default="")

    __table_args__ = (
        Index(None, "state", "target", "due"),
        Index(None, "series_pk", "target", "id"),
    )


class TimingRow(Base):
    """How long the silences of a sender last: percentiles of its gaps, in seconds."""

    __tablename__ = "timing"

    calling_ae: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)  # completion.timing.Gap
    samples: Mapped[int]
    median: Mapped[float]
    p90: Mapped[float]
    p99: Mapped[float]
    longest: Mapped[float]
    at: Mapped[float]


class CommitmentRow(Base):
    """A request for storage commitment that waits for its report (PS3.4 J.3)."""

    __tablename__ = "commitment"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    peer: Mapped[str]  # AE title of who asked, and is told
    transaction_uid: Mapped[str]
    instances: Mapped[list[Any]]  # pairs of SOP Class UID and SOP Instance UID
    requested_at: Mapped[float]
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[float] = mapped_column(index=True)  # when to try; while it is tried: when again
    error: Mapped[str] = mapped_column(default="")

    __table_args__ = (UniqueConstraint("peer", "transaction_uid"),)


class ProcedureStepRow(Base):
    """A modality performed procedure step (PS3.4 F.7)."""

    __tablename__ = "procedure_step"

    uid: Mapped[str] = mapped_column(primary_key=True)
    peer: Mapped[str]
    state: Mapped[str]  # Performed Procedure Step Status
    created_at: Mapped[float] = mapped_column(index=True)
    updated_at: Mapped[float]
    series: Mapped[dict[str, Any]]  # Series Instance UID -> SOP Instance UIDs


class DamageRow(Base):
    """A file that is not what was received or published, until it is again."""

    __tablename__ = "damage"

    path: Mapped[str] = mapped_column(primary_key=True)  # relative to storage.root
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    uid: Mapped[str]  # SOP Instance UID; empty for what was published
    reason: Mapped[str]  # errors.Reason
    sentence: Mapped[str]
    found_at: Mapped[float]


class VerificationRow(Base):
    """How far somebody has come who compares all files with what they were."""

    __tablename__ = "verification"

    name: Mapped[str] = mapped_column(primary_key=True)  # the node itself, or the command
    stage: Mapped[str]  # index.damages.Stage
    after: Mapped[int] = mapped_column(BigInteger)  # the row that was looked at last
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    began_at: Mapped[float]
    ended_at: Mapped[float | None]  # of the last round that came to its end


class TotalRow(Base):
    """How much there is of something: see `index.totals`."""

    __tablename__ = "total"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class RootIdentityRow(Base):
    """Which storage root's index this is; one row."""

    __tablename__ = "root_identity"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1
    identity: Mapped[str]
    claimed_at: Mapped[float]
