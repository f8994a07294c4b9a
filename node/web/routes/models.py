"""The answers of the API as types; the OpenAPI description is made from them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from node.core.records import SeriesState, Shared
from node.storage.quarantine import Kind


class Reason(BaseModel):
    """A piece of evidence for the verdict, or a refusal."""

    source: str = Field(description="The source of the evidence, or the name of the refusal.")
    says: str = Field(
        default="", description="complete, incomplete or unknown; empty for a refusal."
    )
    sentence: str = ""


class Share(BaseModel):
    """Another series that has UIDs of this one, which should be unique."""

    shared: Shared
    address: str = Field(description="The name of the other series in URLs and commands.")
    study_instance_uid: str = Field(description="The study of the other series.")
    sentence: str


class Quality(BaseModel):
    """Figures of a 4D volume, without a verdict on the person."""

    volumes: int
    fd_mean_mm: float | None = Field(description="Mean framewise displacement (Power 2012), mm.")
    fd_max_mm: float | None
    fd_above_limit: int = Field(description="Volumes with more displacement than fd_limit_mm.")
    fd_limit_mm: float
    translation_max_mm: float | None = Field(description="Against the first volume.")
    rotation_max_degrees: float | None = Field(description="Against the first volume.")
    tsnr_median: float | None = Field(description="Temporal signal-to-noise ratio in the mask.")
    tsnr_white: float | None = Field(
        default=None, description="The ratio that is white in `.tsnr.png`; black is 0."
    )
    spikes: int = Field(description="Slices whose signal is an outlier.")


class Drift(BaseModel):
    """A parameter that differs from the expected protocol by more than its tolerance."""

    series: str
    parameter: str
    expected: Any
    found: Any
    difference: float | None
    tolerance: float
    unit: str
    sentence: str
    protocol: str = Field(description="The name of the protocol file.")


class SeriesSummary(BaseModel):
    """A series as the list shows it."""

    address: str = Field(
        description="The name of the series in URLs and commands: its UID, or its UID with ~1 "
        "if a series of another study or patient has the same UID."
    )
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    number: int | None
    description: str
    body_part: str
    date: str = Field(description="Series Date or Study Date, YYYYMMDD.")
    instances: int
    state: SeriesState
    since: float = Field(description="When it came into this state; seconds since 1970, UTC.")
    revision: int = Field(description="The number of the published revision; 0: none yet.")
    first_arrival: float
    last_arrival: float
    verdict: str | None
    why: str = Field(description="Why the node waits for further instances, or does not.")
    refusals: list[Reason]
    evidence: list[Reason] = Field(description="The evidence; that for the verdict comes first.")
    shares: list[Share] = Field(description="Other series that have UIDs of this one.")
    quality: dict[str, Quality] = Field(description="Figures of each 4D volume, by its name.")
    drift: list[Drift] = Field(description="Parameters that differ from the expected protocol.")
    joined: str | None = Field(
        description="The address of the series whose volume has these images; null: its own."
    )
    picture: str | None = Field(description="URL of the preview of the first volume.")


class SeriesPage(BaseModel):
    """A page of series, the newest first."""

    series: list[SeriesSummary]
    next: str | None = Field(
        description="The parameter `cursor` of the next page; null: this is the last page."
    )
    states: dict[SeriesState, int] = Field(description="The number of series in each state.")


class PublishedFile(BaseModel):
    """A published file of the current revision."""

    number: int
    ending: str
    bytes: int | None = Field(description="null: the file is being replaced.")
    path: str | None = Field(description="null if the file name identifies the patient.")
    url: str
    volume: str | None = Field(
        description="URL of the volume for the viewer; null if the file is not a volume."
    )


class ArrivalView(BaseModel):
    """The instances that one association brought."""

    calling_ae: str
    called_ae: str = Field(description="The AE title under which the node was called.")
    address: str
    end: str
    first_at: float
    last_at: float
    instances: int


class Transition(BaseModel):
    """A change of state of the series."""

    at: float
    actor: str
    from_state: str
    to_state: str
    revision: int
    why: str


class SeriesDetail(SeriesSummary):
    """A series with its evidence, files, associations and history."""

    files: list[PublishedFile]
    arrivals: list[ArrivalView]
    history: list[Transition]
    damaged: list[str] = Field(description="A sentence for each damaged or lost file.")


class NodeView(BaseModel):
    """The node itself."""

    version: str
    ae_title: str
    port: int
    instances: int
    series: int
    studies: int
    conflicts: int
    quarantine: dict[Kind, int] = Field(
        description="Files in quarantine: refused, or acknowledged and not ingested."
    )
    free_bytes: int
    minimum_free: int
    damaged: int = Field(description="The number of damaged or lost files.")


class Health(BaseModel):
    """Whether the node is healthy."""

    healthy: bool
    faults: dict[str, str] = Field(
        description=(
            "The faults by name: dicom, index, journal, disk, ingest, assembly, output, damage, or "
            "the name of a thread or process."
        )
    )
    heartbeats: dict[str, float] = Field(
        description="Seconds since the last heartbeat of each thread and process of the node."
    )
