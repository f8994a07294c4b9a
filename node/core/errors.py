"""The node's errors: which can be tried again, which cannot, and the name of every refusal."""

from __future__ import annotations

import hashlib
import traceback
from enum import StrEnum
from typing import Final


class Lines(str):
    """Text of the node itself, which the log may show in several lines; never received text."""

    __slots__ = ()


def traced(error: BaseException) -> Lines:
    """Return type and traceback of an error, for the log; its text may quote a data set."""
    places = "".join(traceback.format_tb(error.__traceback__))
    return Lines(f"{type(error).__name__}\n{places}".rstrip())


def error_reference(error: BaseException) -> str:
    """Return a reference to where an error came from, the same for the same place."""
    places = [f"{one.filename}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)]
    text = "\n".join([type(error).__name__, *places[-3:]])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def unforeseen(error: BaseException) -> str:
    """Return a sentence about an unexpected error, without its text, which may quote a data set."""
    kind = type(error).__name__
    cause = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return f"An unexpected {kind}{cause}; `rasnode --debug convert …` shows where it happened."


class NodeError(Exception):
    """Base of every error that rasnode raises on purpose; its text is for a person to act on."""


class Retryable(NodeError):
    """The same work may succeed later: disk full, database busy, peer away."""


class Permanent(NodeError):
    """Trying again cannot help: the input or the configuration has to change."""


class ConfigError(Permanent):
    """The configuration is wrong; the text names the file, the line and the key."""


class MalformedDataSet(Permanent):
    """Bytes that are not a DICOM data set in their transfer syntax (PS3.5)."""


class InvalidUID(Permanent):
    """A UID that PS3.5 9.1 does not allow, so that it never becomes part of a path."""


class TooLittleMemory(Retryable):
    """The memory that a volume takes is not free at the moment."""


class StorageFull(Retryable):
    """Too little disk left, or the disk refused a write (C-STORE status 0xA700)."""


class QuotaReached(StorageFull):
    """A sender has reached its quota (C-STORE status 0xA700).

    Args:
        sentence: for the log.
        comment: Error Comment for the sender, at most 64 characters.
    """

    def __init__(self, sentence: str, comment: str) -> None:
        super().__init__(sentence)
        self.comment = comment


class Reason(StrEnum):
    """Why frames were not made into a volume. The values are names to search for, and contracts."""

    NOT_AN_IMAGE = "not-an-image"
    NO_PIXEL_DATA = "no-pixel-data"
    NO_GEOMETRY = "no-geometry"
    BAD_ORIENTATION = "bad-orientation"
    BAD_PIXEL_SPACING = "bad-pixel-spacing"
    MIXED_ORIENTATIONS = "mixed-orientations"
    DUPLICATE_POSITION = "duplicate-position"
    MISSING_SLICE = "missing-slice"
    UNEQUAL_SPACING = "unequal-spacing"
    INCOMPLETE_GRID = "incomplete-grid"
    INCONSISTENT_FRAMES = "inconsistent-frames"
    AMBIGUOUS_ORDER = "ambiguous-order"
    MOSAIC_UNDECODABLE = "mosaic-undecodable"
    PIXELS_UNREADABLE = "pixels-unreadable"
    PIXELS_TRUNCATED = "pixels-truncated"
    UNSUPPORTED_PIXELS = "unsupported-pixels"
    UNREADABLE_SCALE = "unreadable-scale"
    RESIDUAL_TOO_LARGE = "residual-too-large"
    MISSING_REFERENCE = "missing-reference"
    FRAME_OF_REFERENCE = "frame-of-reference"
    CONTRADICTORY_IDENTITY = "contradictory-identity"
    INSTANCE_DAMAGED = "instance-damaged"
    INSTANCE_MISSING = "instance-missing"
    OUTPUT_DAMAGED = "output-damaged"
    OUTPUT_MISSING = "output-missing"
    SEVERAL_VOLUMES = "several-volumes"
    ZIP_UNREADABLE = "zip-unreadable"
    ZIP_TOO_LARGE = "zip-too-large"
    DICOMDIR_UNREADABLE = "dicomdir-unreadable"
    TOO_MANY_FILES = "too-many-files"
    POINTS_UNREADABLE = "points-unreadable"
    ANNOTATION_UNREADABLE = "annotation-unreadable"
    AMBIGUOUS_REGION = "ambiguous-region"
    EXCLUDED_BY_RULE = "excluded-by-rule"
    INTERNAL_ERROR = "internal-error"


DAMAGE: Final = frozenset({Reason.INSTANCE_DAMAGED, Reason.INSTANCE_MISSING})
"""Archived files that differ from what was received; sending the instances again repairs them."""
OF_FILES: Final = (
    Reason.INSTANCE_DAMAGED,
    Reason.INSTANCE_MISSING,
    Reason.OUTPUT_DAMAGED,
    Reason.OUTPUT_MISSING,
)
"""Damage of archived and of published files."""


class AssemblyError(Permanent):
    """Frames that do not make a volume that can be trusted.

    Args:
        reason: name of the refusal.
        sentence: what is wrong, with which values, and what a PACS administrator can do.
        instances: SOP Instance UIDs of the refused instances; empty if it is all of them.
    """

    def __init__(self, reason: Reason, sentence: str, instances: tuple[str, ...] = ()) -> None:
        super().__init__(f"{reason}: {sentence}")
        self.reason = reason
        self.sentence = sentence
        self.instances = instances
