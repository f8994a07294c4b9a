"""The facts that evidence is found in: values of one series, from headers and from peers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from node.core.records import Verdict

Vector = tuple[float, float, float]


class Count(StrEnum):
    """Attributes by which an instance announces a count. The values are shown to people."""

    IMAGES_IN_ACQUISITION = "ImagesInAcquisition"
    IMAGES_IN_SERIES = "GE ImagesInSeries"
    TEMPORAL_POSITIONS = "NumberOfTemporalPositions"
    LOCATIONS = "GE LocationsInAcquisition"
    SLICES = "Philips NumberOfSlices"
    DYNAMICS = "Philips NumberOfDynamicScans"
    VOLUMES = "Siemens lRepetitions + 1"
    PLANNED_SLICES = "Siemens sSliceArray.lSize × lImagesPerSlab"
    PET_SLICES = "NumberOfSlices"
    PET_TIME_SLICES = "NumberOfTimeSlices"
    CONCATENATION_TOTAL = "InConcatenationTotalNumber"


class FrameFacts(NamedTuple):
    """One image plane.

    Attributes:
        orientation: row then column direction cosines, LPS; None if the image has none.
        position: centre of the first voxel, LPS mm; None if the image has none.
        kind: what else tells frames at one position apart, such as magnitude and phase.
        echo: echo time in ms, or the echo's number.
        time: TemporalPositionIdentifier or a similar attribute, if the header has one.
    """

    rows: int
    columns: int
    orientation: tuple[float, ...] | None
    position: Vector | None
    kind: str = ""
    echo: float | None = None
    time: int | None = None


class InstanceFacts(NamedTuple):
    """What the header of one instance says.

    Attributes:
        uid: SOP Instance UID.
        number: InstanceNumber.
        acquisition: AcquisitionNumber.
        derived: ImageType says DERIVED: its counts are those of the images it was made from.
        announced: the numbers of images, positions or times that it announces.
        frames: its image planes.
        concatenation: ConcatenationUID, if it is a part of one (PS3.3 C.7.6.16.2.2.4).
    """

    uid: str
    number: int | None
    acquisition: int | None
    derived: bool
    announced: Mapping[Count, int]
    frames: tuple[FrameFacts, ...]
    concatenation: str = ""


class Source(StrEnum):
    """Where a piece of evidence comes from."""

    ASSOCIATION = "association"
    POSITIONS = "slice-positions"
    NUMBERS = "instance-numbers"
    GRID = "grid"
    ANNOUNCED = "announced-count"
    SENDER_COUNT = "sender-count"
    MPPS = "mpps"
    INSTANCE_AVAILABILITY = "instance-availability"
    COMMITMENT = "storage-commitment"
    PULL = "pull"
    QUIET = "quiet-time"
    RUN = "run"
    PERSON = "person"
    SERIES = "series"  # of a study


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one source says of a series.

    Attributes:
        source: where the evidence comes from.
        says: complete and incomplete are proof; unknown is a remark.
        sentence: the reason, for an administrator.
        stopped: incomplete only because the scan was stopped during its last volume; the volumes
            before that one are complete.
        doubt: no proof of a gap, but completeness cannot be proven against it.
        detail: what is missing, for programs.
    """

    source: Source
    says: Verdict
    sentence: str
    stopped: bool = False
    doubt: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it is stored in the index and in manifests."""
        written = {"source": str(self.source), "says": str(self.says), "reason": self.sentence}
        return {**written, **self.detail}


@dataclass(frozen=True, slots=True)
class Statement:
    """What a peer said of how many instances a series has, or of which.

    Attributes:
        source: one of SENDER_COUNT, MPPS, INSTANCE_AVAILABILITY, COMMITMENT, PULL.
        by: the peer, as it is shown to people.
        at: when the peer said it, seconds since 1970.
        final: False while the procedure step is in progress, so that more images may follow.
        count: how many instances the series has, if the peer said a number.
        uids: its SOP Instance UIDs, if the peer sent a list.
    """

    source: Source
    by: str
    at: float
    final: bool = True
    count: int | None = None
    uids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """All that is known of a series, apart from how its instances arrived."""

    instances: tuple[InstanceFacts, ...]
    statements: tuple[Statement, ...] = ()
