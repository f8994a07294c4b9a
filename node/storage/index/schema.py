"""The tables. Times are seconds since 1970, UTC. Counts are kept up to date by the writer.

One file, though it is long: a reader of one table needs those that it refers to.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from node.core.query_keys import name_groups
from node.storage.index.column_types import BIG_KEY, BYTEWISE, Indexed


class Base(DeclarativeBase):
    """The base of every table; the names of constraints are fixed, as migrations use them."""

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
    """An index of only those rows that meet a condition.

    Args:
        name: of the index.
        columns: of the index.
        where: the condition, as SQL.
    """
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def _for_search(name: str, *columns: str) -> Index:
    """An index with every column that a search reads, so that it does not read the wide rows.

    Only of SQLite: PostgreSQL refuses rows with a value that is too long for an index. There the
    columns `search.narrow` have the same, cut off.

    Args:
        name: of the index.
        columns: of the index.
    """
    return Index(name, *columns).ddl_if(dialect="sqlite")


def _name_group(index: int) -> Any:
    """A column that is filled from the row's name (node.core.query_keys.name_groups)."""

    def value(context: DefaultExecutionContext) -> str:
        row: dict[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call]
        return name_groups(row["name"])[index]

    return mapped_column(Indexed(), insert_default=value)


class PatientRow(Base):
    """A patient: by PatientID and its issuer, or without an ID by name and birth date.

    Two patients with one ID have a row each.
    """

    __tablename__ = "patient"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    patient_id: Mapped[str] = mapped_column(Indexed())
    issuer: Mapped[str] = mapped_column(Indexed())
    name: Mapped[str]
    # Folded: no case, no accents (node.core.query_keys.fold).
    name_key: Mapped[str] = mapped_column(Indexed(bytewise=False))
    name_alphabetic: Mapped[str] = _name_group(0)  # each group folded, to be found by its prefix
    name_ideographic: Mapped[str] = _name_group(1)
    name_phonetic: Mapped[str] = _name_group(2)
    birth_date: Mapped[str] = mapped_column(Indexed())
    sex: Mapped[str] = mapped_column(BYTEWISE)
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
        _for_search("ix_patient_search", "name_key", "patient_id"),
    )


class StudyRow(Base):
    """A study of one patient; the same Study Instance UID of another patient has another row."""

    __tablename__ = "study"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    uid: Mapped[str] = mapped_column(BYTEWISE)
    patient_pk: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    date: Mapped[str] = mapped_column(Indexed())
    time: Mapped[str] = mapped_column(Indexed())
    accession: Mapped[str] = mapped_column(Indexed())
    study_id: Mapped[str] = mapped_column(Indexed())
    description: Mapped[str] = mapped_column(BYTEWISE)
    referring: Mapped[str]
    referring_key: Mapped[str] = mapped_column(Indexed())
    modalities: Mapped[str]  # backslash-separated, each once, sorted
    sop_classes: Mapped[str]  # likewise
    attributes: Mapped[dict[str, Any]]
    series: Mapped[int] = mapped_column(default=0)
    instances: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(default="receiving", server_default="receiving")
    state_since: Mapped[float] = mapped_column(default=0.0, server_default="0")
    revision: Mapped[int] = mapped_column(default=0, server_default="0")  # of study-ready
    due: Mapped[float | None]  # when the watcher looks again; None: after the next change
    verdict: Mapped[dict[str, Any] | None]
    told: Mapped[dict[str, Any] | None]  # what the last study-ready said: see index.studies

    __table_args__ = (
        UniqueConstraint("uid", "patient_pk"),
        _partial("ix_study_due", "due", where="due IS NOT NULL"),
        Index(None, "date", "time"),
        Index(None, "accession"),
        Index(None, "study_id"),
        Index(None, "referring_key"),
        _for_search("ix_study_search", "description", "uid", "accession", "patient_pk"),
    )


class StudyModalityRow(Base):
    """ModalitiesInStudy, one row a modality, so that it can be matched by an index."""

    __tablename__ = "study_modality"

    modality: Mapped[str] = mapped_column(Indexed(), primary_key=True)
    study_pk: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True, index=True)


class SeriesRow(Base):
    """A series and its state.

    `change` counts the instances and decisions that changed the series. Every transition is a
    compare-and-swap on (state, change), so that two processes never own one series; in state
    receiving also on `due`, so that no decision delays a look that was requested meanwhile.

    `part` numbers the series of one UID from 0 on, in the order in which they were received: the
    same Series Instance UID under another study or patient is a series of its own.
    """

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    uid: Mapped[str] = mapped_column(BYTEWISE)
    part: Mapped[int] = mapped_column(default=0, server_default="0")
    study_pk: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    modality: Mapped[str] = mapped_column(Indexed())
    number: Mapped[int | None]
    description: Mapped[str] = mapped_column(BYTEWISE)
    body_part: Mapped[str] = mapped_column(BYTEWISE)
    date: Mapped[str] = mapped_column(Indexed())
    time: Mapped[str] = mapped_column(BYTEWISE)
    attributes: Mapped[dict[str, Any]]
    instances: Mapped[int] = mapped_column(default=0)
    state: Mapped[str]
    state_since: Mapped[float]
    change: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0)
    first_arrival: Mapped[float]
    last_arrival: Mapped[float]
    owner: Mapped[str] = mapped_column(default="")  # the process that assembles it
    due: Mapped[float | None]  # when the watcher looks again; None: after the next change
    verdict: Mapped[dict[str, Any] | None]
    outputs: Mapped[list[Any] | None]  # published files, relative to storage.root/nifti
    held_by: Mapped[str] = mapped_column(
        default="", server_default=""
    )  # a person; empty: it is not held by one
    run_pk: Mapped[int | None] = mapped_column(
        BIG_KEY
    )  # the series whose volume has the images of this one, see index.series.runs

    __table_args__ = (
        UniqueConstraint("uid", "part"),
        _partial("ix_series_run_pk", "run_pk", where="run_pk IS NOT NULL"),
        _partial("ix_series_due", "due", where="due IS NOT NULL"),
        _partial("ix_series_settled_since", "state", "state_since", where="state = 'settled'"),
        Index(None, "state", "id"),
        Index(None, "state", "last_arrival"),
        Index(None, "last_arrival"),
        Index(None, "modality", "date"),
        Index(None, "date"),
        _for_search(
            "ix_series_search", "description", "uid", "study_pk", "modality", "date", "state"
        ),
    )


class InstanceRow(Base):
    """A SOP Instance in the archive; a copy of it in another series has another row."""

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    uid: Mapped[str] = mapped_column(BYTEWISE)
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    sop_class_uid: Mapped[str] = mapped_column(BYTEWISE)
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
    association_pk: Mapped[int | None] = mapped_column(  # by which it was last received
        ForeignKey("association.id"),
        index=True,  # or removing an association would read all rows
    )

    __table_args__ = (UniqueConstraint("uid", "series_pk"),)


class HeaderRow(Base):
    """The encoded `InstanceHeader`: beside the instance, so that queries never read it."""

    __tablename__ = "instance_header"

    instance_pk: Mapped[int] = mapped_column(ForeignKey("instance.id"), primary_key=True)
    header: Mapped[bytes] = mapped_column(LargeBinary)


class ConflictRow(Base):
    """Another data set with a SOP Instance UID that its series has already."""

    __tablename__ = "conflict"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
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
    """Two series that share UIDs; each of them has a row, to be shown with it."""

    __tablename__ = "namesake"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    other_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True, index=True)
    shared: Mapped[str] = mapped_column(primary_key=True)  # records.Shared


class AssociationRow(Base):
    """An association by which instances were received, and how it ended."""

    __tablename__ = "association"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    calling_ae: Mapped[str]
    called_ae: Mapped[str]
    address: Mapped[str]
    opened_at: Mapped[float]
    ended_at: Mapped[float | None]
    end: Mapped[str]  # records.AssociationEnd
    process: Mapped[str]  # the run of the node that accepted it

    __table_args__ = (
        Index(None, "end"),
        Index(None, "calling_ae", "id"),
        Index(None, "called_ae", "id"),
    )


class ArrivalRow(Base):
    """What was received of one series by one association.

    `last_at` and `instances` are of new instances; 0 instances: all of them were there before.
    """

    __tablename__ = "arrival"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    association_pk: Mapped[int] = mapped_column(
        ForeignKey("association.id"), primary_key=True, index=True
    )
    first_at: Mapped[float]
    last_at: Mapped[float]
    instances: Mapped[int]

    __table_args__ = (Index(None, "association_pk", "series_pk"),)


class SeriesEventRow(Base):
    """The history of series: every transition and decision, and who made it."""

    __tablename__ = "series_event"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    at: Mapped[float]
    actor: Mapped[str]
    from_state: Mapped[str]
    to_state: Mapped[str]
    revision: Mapped[int]
    detail: Mapped[dict[str, Any]]


class OutputRow(Base):
    """The output names of series, so that two series never share a file."""

    __tablename__ = "output"

    stem: Mapped[str] = mapped_column(primary_key=True)
    folded: Mapped[str] = mapped_column(BYTEWISE, index=True)  # node.core.output_names.folded
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)


class SiblingRow(Base):
    """A volume of a BIDS dataset, on which names and field maps of other volumes depend."""

    __tablename__ = "sibling"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # of the volume in its series
    scope: Mapped[str] = mapped_column(index=True)  # folders of participant and session
    known: Mapped[dict[str, Any]]  # node.convert.naming.siblings.Sibling
    made: Mapped[dict[str, Any] | None]  # name and fields when its files were published
    row: Mapped[str]  # its name in the table of scans; empty: it is not there yet


class PublicationRow(Base):
    """A revision of a series' volumes: begun before its files appear, visible once they have.

    After a crash, a revision that was begun is finished under the same number if the same files
    result, and abandoned otherwise.
    """

    __tablename__ = "publication"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]  # index.publications.Stage
    fingerprint: Mapped[str]  # equal for revisions without a difference
    files: Mapped[list[Any]]  # relative to storage.root/nifti
    digests: Mapped[dict[str, Any] | None]  # SHA-256 of each file; None: made before they were kept
    verdict: Mapped[dict[str, Any]]
    begun_at: Mapped[float]
    visible_at: Mapped[float | None]


class ReferenceRow(Base):
    """A series whose instances label the voxels of another one, which may not be received yet."""

    __tablename__ = "reference"

    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True)
    referenced_uid: Mapped[str] = mapped_column(primary_key=True, index=True)


class StatementRow(Base):
    """A peer's statement of what belongs to a series: a count, a list, or that it is not finished.

    By UID, as a statement may be received before the first instance.
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


class StudyStatementRow(Base):
    """A peer's statement of which series a study has, or that a step of it is in progress.

    By UID, as a statement may be received before the first instance.
    """

    __tablename__ = "study_statement"

    study_uid: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)  # completion.facts.Source
    reference: Mapped[str] = mapped_column(primary_key=True)  # of the MPPS or notice; a peer
    peer: Mapped[str]
    at: Mapped[float] = mapped_column(index=True)
    final: Mapped[bool]
    whole: Mapped[bool]  # False: of the series that were asked for
    series: Mapped[list[Any]]  # Series Instance UIDs


class RefusalRow(Base):
    """A peer that did not answer a query for counts, so that it is not asked again for a while."""

    __tablename__ = "refusal"

    peer: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    until: Mapped[float]
    times: Mapped[int]
    reason: Mapped[str]


class DeliveryRow(Base):
    """The outbox: deliveries, written in the transaction of the change that they report."""

    __tablename__ = "delivery"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
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
        Index(None, "event", "id"),
    )


class TimingRow(Base):
    """How long a sender pauses: percentiles of its gaps, in seconds."""

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

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    peer: Mapped[str]  # AE title of the requestor, which gets the report
    transaction_uid: Mapped[str]
    instances: Mapped[list[Any]]  # pairs of SOP Class UID and SOP Instance UID
    requested_at: Mapped[float]
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[float] = mapped_column(
        index=True
    )  # when to report; while that is tried: when to try again
    error: Mapped[str] = mapped_column(default="")

    __table_args__ = (UniqueConstraint("peer", "transaction_uid"),)


class ProcedureStepRow(Base):
    """A modality performed procedure step (PS3.4 F.7)."""

    __tablename__ = "procedure_step"

    uid: Mapped[str] = mapped_column(primary_key=True)
    peer: Mapped[str]
    state: Mapped[str]  # Performed Procedure Step Status
    studies: Mapped[list[Any] | None]  # Study Instance UIDs; None: not kept by earlier versions
    created_at: Mapped[float] = mapped_column(index=True)
    updated_at: Mapped[float]
    series: Mapped[dict[str, Any]]  # Series Instance UID -> SOP Instance UIDs


class DamageRow(Base):
    """A file that is damaged or lost, until it is repaired."""

    __tablename__ = "damage"

    path: Mapped[str] = mapped_column(primary_key=True)  # relative to storage.root
    series_pk: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    uid: Mapped[str]  # SOP Instance UID; empty for what was published
    reason: Mapped[str]  # errors.Reason
    sentence: Mapped[str]
    found_at: Mapped[float]


class VerificationRow(Base):
    """How far a verification of all files has come."""

    __tablename__ = "verification"

    name: Mapped[str] = mapped_column(primary_key=True)  # the node itself, or the command
    stage: Mapped[str]  # index.damages.Stage
    after: Mapped[int] = mapped_column(BigInteger)  # the row that was verified last
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    began_at: Mapped[float]
    ended_at: Mapped[float | None]  # of the last complete round


class PullJobRow(Base):
    """A job that fetches studies from a peer; see `node.core.pulls`."""

    __tablename__ = "pull_job"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    peer: Mapped[str]
    state: Mapped[str]  # pulls.JobState
    ordered: Mapped[str] = mapped_column(default="")  # pulls.Order, until it has been done
    series: Mapped[dict[str, Any]]
    way: Mapped[str]  # auto, move or get
    time_window: Mapped[str]
    rate: Mapped[str]
    parallel: Mapped[int]
    reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[float]
    ended_at: Mapped[float | None]


class PullItemRow(Base):
    """A row of a job's list."""

    __tablename__ = "pull_item"

    id: Mapped[int] = mapped_column(BIG_KEY, primary_key=True)
    job_pk: Mapped[int] = mapped_column(ForeignKey("pull_job.id"))
    row: Mapped[int]  # the line of the list
    query: Mapped[dict[str, Any]]
    state: Mapped[str]  # pulls.ItemState
    reason: Mapped[str] = mapped_column(default="")
    tries: Mapped[int] = mapped_column(default=0)
    due: Mapped[float] = mapped_column(default=0.0)

    __table_args__ = (Index(None, "job_pk", "state", "due"),)


class PullStudyRow(Base):
    """A study that a row of a list asks for, and how much of it has come."""

    __tablename__ = "pull_study"

    item_pk: Mapped[int] = mapped_column(ForeignKey("pull_item.id"), primary_key=True)
    uid: Mapped[str] = mapped_column(primary_key=True, index=True)
    state: Mapped[str]  # pulls.ItemState
    expected: Mapped[int | None]
    received: Mapped[int]
    missing: Mapped[list[Any]]  # or a dict: see pulls.PullStudy
    missing_count: Mapped[int]
    series: Mapped[list[Any]]
    reason: Mapped[str]


class PullPeerRow(Base):
    """Whether a peer is fetched from by C-MOVE or by C-GET, found out by trying."""

    __tablename__ = "pull_peer"

    peer: Mapped[str] = mapped_column(primary_key=True)
    way: Mapped[str]
    at: Mapped[float]


class TotalRow(Base):
    """A total: see `index.totals`."""

    __tablename__ = "total"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class RootIdentityRow(Base):
    """The storage root that this index belongs to; one row."""

    __tablename__ = "root_identity"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 1
    identity: Mapped[str]
    claimed_at: Mapped[float]
