"""Why a result is not made into DICOM, by name."""

from __future__ import annotations

from enum import StrEnum

from node.core.errors import Permanent


class Refusal(StrEnum):
    """Names that people can search for; `docs/results.md` says of each what to do."""

    GRID_MISMATCH = "grid-mismatch"
    FRAME_OF_REFERENCE = "frame-of-reference"
    OUTDATED_REVISION = "outdated-revision"
    NO_SUCH_SERIES = "no-such-series"
    UNKNOWN_LABEL = "unknown-label"
    BAD_LABELS = "bad-labels"
    WRONG_DIMENSIONS = "wrong-dimensions"
    NOT_INTEGER = "not-integer"
    NOT_FINITE = "not-finite"
    EMPTY_RESULT = "empty-result"
    UNREADABLE_IMAGE = "unreadable-image"
    UNKNOWN_PEER = "unknown-peer"
    OUT_OF_RANGE = "out-of-range"
    UNREADABLE_SOURCE = "unreadable-source"


class ResultError(Permanent):
    """A result that cannot be put on the voxels of its series.

    Args:
        refusal: its name.
        sentence: what is wrong, and what to do about it.
    """

    def __init__(self, refusal: Refusal, sentence: str) -> None:
        super().__init__(f"{refusal}: {sentence}")
        self.refusal = refusal
        self.sentence = sentence
