"""What the API says, as types: from here comes the OpenAPI description."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from node.core.records import SeriesState, Shared
from node.storage.quarantine import Kind


class Reason(BaseModel):
    """A piece of evidence, or a refusal."""

    source: str = Field(description="where it comes from, or the name of the refusal")
    says: str = Field(default="", description="complete, incomplete, unknown; empty: a refusal")
    sentence: str = ""


class Share(BaseModel):
    """Another series with UIDs that should be one series' alone."""

    shared: Shared
    address: str = Field(description="what the other is called in URLs and commands")
    study_instance_uid: str = Field(description="of the other")
    sentence: str


class SeriesSummary(BaseModel):
    """A series as the list shows it."""

    address: str = Field(
        description="what it is called in URLs and commands: its UID, and with ~1 the next that "
        "came under the same UID in another study or of another patient"
    )
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    number: int | None
    description: str
    body_part: str
    date: str = Field(description="as in the data set: YYYYMMDD")
    instances: int
    state: SeriesState
    since: float = Field(description="of the state; seconds since 1970, UTC")
    revision: int = Field(description="0 before the first")
    first_arrival: float
    last_arrival: float
    verdict: str | None
    why: str = Field(description="why the node waits, or went on")
    refusals: list[Reason]
    evidence: list[Reason] = Field(description="what speaks for the verdict first")
    shares: list[Share] = Field(description="other series that share UIDs with it")
    picture: str | None = Field(description="URL of the first volume's picture")


class SeriesPage(BaseModel):
    """The newest series first."""

    series: list[SeriesSummary]
    before: int | None = Field(description="ask with this for the next page; null: it was the last")
    states: dict[SeriesState, int] = Field(description="how many series are in each state")


class PublishedFile(BaseModel):
    """A file of the current revision."""

    number: int
    ending: str
    bytes: int | None = Field(description="null: it is being replaced")
    path: str | None = Field(description="null if the name says who the patient is")
    url: str
    volume: str | None = Field(description="URL of the viewer's data; null if it is no volume")


class ArrivalView(BaseModel):
    """What one association brought."""

    calling_ae: str
    address: str
    end: str
    first_at: float
    last_at: float
    instances: int


class Transition(BaseModel):
    """A step in the series' life."""

    at: float
    actor: str
    from_state: str
    to_state: str
    revision: int
    why: str


class SeriesDetail(SeriesSummary):
    """All that is known of a series."""

    files: list[PublishedFile]
    arrivals: list[ArrivalView]
    history: list[Transition]
    damaged: list[str] = Field(description="files of it that are damaged or lost")


class Plane(BaseModel):
    """How the pictures across one axis are drawn."""

    name: Literal["sagittal", "coronal", "axial"]
    axis: int
    slices: int
    width: int
    height: int
    pixel_width: float = Field(description="mm")
    pixel_height: float = Field(description="mm")
    edges: dict[str, str] = Field(description="left, right, top and bottom: R L A P S or I")


class VolumeView(BaseModel):
    """A volume's geometry, and how to begin to look at it."""

    shape: tuple[int, int, int, int]
    spacing: tuple[float, float, float] = Field(description="mm")
    repetition: float = Field(description="seconds; 0 if unknown")
    affine: list[list[float]] = Field(description="voxel (i, j, k) to RAS mm")
    oblique: float = Field(description="largest angle between an axis and its letter, degrees")
    colour: bool
    window: tuple[float, float] = Field(description="black, white")
    planes: list[Plane]
    revision: int


class Voxel(BaseModel):
    """One voxel: its value, its place, and the instance that it came from."""

    value: list[float | None] = Field(description="one number, or red, green and blue")
    ras: tuple[float, float, float] = Field(description="mm")
    source: str | None = Field(description="SOP Instance UID; null if the manifest does not say")


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
        description="files: refused, and answered with success but not ingested"
    )
    free_bytes: int
    minimum_free: int
    damaged: int = Field(description="files that are not what was received or published any more")


class Health(BaseModel):
    """Whether the node can do its work."""

    healthy: bool
    faults: dict[str, str] = Field(
        description=(
            "what is wrong, by name: dicom, index, disk, filing, output, damage, or a heartbeat's"
        )
    )
    heartbeats: dict[str, float] = Field(
        description="seconds since each thread and process of the node last finished a step"
    )
