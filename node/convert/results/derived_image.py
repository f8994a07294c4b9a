"""Values to a derived series of single-frame images, one for each source slice.

It has the source modality's single-frame class where that class is known well enough to be filled
in (CT, MR, PET), else Secondary Capture. Of the source only what a list names is kept: whatever
else was true of the source's pixels need not be of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DSfloat, format_number_as_ds

from node.assemble.space import Array
from node.convert.results.grid import SourceFrame, SourceGrid, Voxels
from node.convert.results.masks import check_finite
from node.convert.results.options import ResultOptions
from node.convert.results.refusals import Refusal, ResultError
from node.convert.results.source import (
    describe,
    finished,
    numbers,
    series_reference,
    source_image,
    thickness,
)

STORED_MOST: Final = 65535
_UPWARD: Final = 1 + 1e-8
"""The slope is rounded up by as much as its text may be rounded down."""
_LARGEST: Final = 1e30
"""Of a value: what a rescale in 16 characters can still say."""
_COMMON: Final = (
    "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "AcquisitionNumber",
    "ProtocolName", "ContrastBolusAgent", "ContrastBolusRoute", "PositionReferenceIndicator",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
_CT: Final = ("KVP", "ScanOptions", "ConvolutionKernel", "GantryDetectorTilt")
_MR: Final = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime",
    "EchoTime", "EchoTrainLength", "InversionTime", "TriggerTime", "FlipAngle",
    "MagneticFieldStrength", "ImagedNucleus", "ImagingFrequency", "EchoNumbers", "SequenceName",
)  # fmt: skip
_PET: Final = (
    "SeriesDate", "SeriesTime", "SeriesType", "Units", "CountsSource", "DecayCorrection",
    "CorrectedImage", "AttenuationCorrectionMethod", "ScatterCorrectionMethod",
    "RandomsCorrectionMethod", "ReconstructionMethod", "CollimatorType", "DecayFactor",
    "FrameReferenceTime", "ActualFrameDuration", "RadiopharmaceuticalInformationSequence",
    "PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence", "SUVType",
)  # fmt: skip
_NEEDED_BY_PET: Final = (
    "SeriesDate", "SeriesTime", "SeriesType", "Units", "CountsSource", "DecayCorrection",
    "AcquisitionDate", "AcquisitionTime", "FrameReferenceTime",
)  # fmt: skip
"""Type 1 attributes of PET Series and PET Image that nothing can stand for (PS3.3 C.8.9)."""


class _Kind(NamedTuple):
    """A class of derived images.

    Attributes:
        kept: attributes of the source that stay.
        empty: attributes that are there even if nothing is known of them (Type 2).
    """

    sop_class: str
    modality: str
    kept: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


_KIND_CT: Final = _Kind(CTImageStorage, "CT", _CT, ("KVP", "AcquisitionNumber"))
_KIND_MR: Final = _Kind(
    MRImageStorage,
    "MR",
    _MR,
    ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"),
)  # fmt: skip
_KIND_PET: Final = _Kind(PositronEmissionTomographyImageStorage, "PT", _PET)
_KINDS: Final = {
    CTImageStorage: _KIND_CT,
    EnhancedCTImageStorage: _KIND_CT,
    LegacyConvertedEnhancedCTImageStorage: _KIND_CT,
    MRImageStorage: _KIND_MR,
    EnhancedMRImageStorage: _KIND_MR,
    LegacyConvertedEnhancedMRImageStorage: _KIND_MR,
    PositronEmissionTomographyImageStorage: _KIND_PET,
}


class Scale(NamedTuple):
    """value = slope x stored + intercept, as a header says it."""

    slope: float
    intercept: float


def to_image(
    grid: SourceGrid,
    source: Dataset,
    values: Voxels,
    options: ResultOptions | None = None,
    *,
    units: str = "",
    headers: Callable[[str], Dataset] | None = None,
) -> list[Dataset]:
    """Make a derived series of values, such as a denoised, registered or resampled image.

    Args:
        grid: the volume's grid, and its source frames.
        source: the data set of an instance of the series; its pixels are not needed.
        values: (i, j, k) on the grid, RAS order.
        options: what the caller says of it.
        units: of the values, for Rescale Type; empty: HU for CT, else unspecified.
        headers: returns the data set of a source instance, for what varies by slice, such as its
            acquisition time; None: that is left out.

    Returns:
        one object a slice; values are within half a step of the rescale.

    Raises:
        ResultError: by the names of `Refusal`.
    """
    options = options or ResultOptions()
    slices = grid.in_slices(values)
    if slices.dtype.kind not in "iufb":
        raise ResultError(Refusal.UNREADABLE_IMAGE, "The voxels are no real numbers.")
    check_finite(slices)
    scale = scale_of(slices)
    single = grid.frames[0].frame is None and grid.frames[0].tile is None
    own = headers if single else None
    kind = _kind(source, own)
    made = []
    for number, (frame, plane) in enumerate(zip(grid.frames, slices, strict=True), 1):
        header = own(frame.sop_instance_uid) if own else None
        one = _image(grid, source, header, frame, options, kind)
        one.InstanceNumber = number
        one.SOPInstanceUID = options.uid("instance", number)
        if kind is _KIND_PET:
            one.NumberOfSlices, one.ImageIndex = len(grid.frames), number
        _set_pixels(one, plane, scale)
        one.RescaleType = units[:16] or ("HU" if kind is _KIND_CT else "US")
        _set_window(one, frame, slices)
        made.append(finished(one))
    return made


def scale_of(values: Array) -> Scale:
    """Return the rescale to unsigned 16-bit numbers: whole values stay exact where they fit.

    Args:
        values: finite numbers.

    Raises:
        ResultError: `out-of-range`, if they are too large for a rescale, or too close.
    """
    low, high = float(values.min()), float(values.max())
    if max(abs(low), abs(high)) > _LARGEST:
        raise ResultError(
            Refusal.OUT_OF_RANGE,
            f"Values from {low:g} to {high:g} cannot be rescaled to 16 bits; use --as map.",
        )
    whole = values.dtype.kind in "iub" or all((np.rint(one) == one).all() for one in values)
    if (whole and high - low <= STORED_MOST and abs(low) < 1e9) or high == low:
        return Scale(1.0, _as_written(low))
    intercept = _as_written(low)
    if intercept > low:  # the text was rounded up
        intercept = _as_written(low - (high - low) * 1e-6)
    slope = _as_written((high - intercept) / STORED_MOST * _UPWARD)
    if (
        intercept > low
        or slope * STORED_MOST < high - intercept
        or slope > 2 * (high - low) / STORED_MOST
    ):
        raise ResultError(
            Refusal.OUT_OF_RANGE,
            f"Values from {low!r} to {high!r} differ by less than a rescale in 16 characters can "
            "say; use --as map.",
        )
    return Scale(slope, intercept)


def _as_written(value: float) -> float:
    """Return a number as 16 characters can say it."""
    return float(format_number_as_ds(value))


def _kind(source: Dataset, headers: Callable[[str], Dataset] | None) -> _Kind:
    kind = _KINDS.get(source.get("SOPClassUID", ""))
    secondary = _Kind(SecondaryCaptureImageStorage, str(source.get("Modality") or "OT"))
    if kind is None:
        return secondary
    if kind is _KIND_PET:
        complete = all(source.get(keyword) not in (None, "") for keyword in _NEEDED_BY_PET)
        return kind if headers is not None and complete else secondary
    return kind


def _image(
    grid: SourceGrid,
    source: Dataset,
    header: Dataset | None,
    frame: SourceFrame,
    options: ResultOptions,
    kind: _Kind,
) -> Dataset:
    """Return an image without pixels."""
    one = Dataset()
    one.SOPClassUID = kind.sop_class
    describe(one, source, options, "Derived", kind.modality)
    _keep(one, header if header is not None else source, kind, varying=header is not None)
    third = list(source.get("ImageType") or [])[2:3] or ["OTHER"]
    one.ImageType = ["DERIVED", "SECONDARY", *third]
    if kind is _KIND_CT and third[0] not in ("AXIAL", "LOCALIZER"):
        one.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    if kind is _KIND_PET:
        one.ImageType = ["DERIVED", "SECONDARY"]
    if kind is _KIND_MR:
        one.ScanningSequence = one.get("ScanningSequence") or "RM"
        one.SequenceVariant = one.get("SequenceVariant") or "NONE"
    if kind.sop_class == SecondaryCaptureImageStorage:
        one.ConversionType = "WSD"
    note = f"; {options.note}" if options.note else ""
    maker = " ".join(options.algorithm) if options.algorithm else "an image given to rasnode"
    one.DerivationDescription = f"Derived by {maker}{note}"[:1024]
    one.SourceImageSequence = Items([source_image(frame, preserved=not options.note)])
    one.ReferencedSeriesSequence = Items([series_reference(grid, grid.frames)])
    one.FrameOfReferenceUID = grid.frame_of_reference_uid
    if "PositionReferenceIndicator" not in one:
        one.PositionReferenceIndicator = None
    one.ImagePositionPatient = numbers(frame.position)
    one.ImageOrientationPatient = numbers(frame.orientation)
    one.PixelSpacing = numbers(frame.spacing)
    one.SliceThickness = numbers([thickness(grid)])[0]
    if kind is _KIND_MR and grid.step:
        one.SpacingBetweenSlices = numbers([grid.step])[0]
    one.BurnedInAnnotation = "NO"
    return one


def _keep(one: Dataset, header: Dataset, kind: _Kind, *, varying: bool) -> None:
    """Copy what is kept of a source instance.

    Args:
        one: is changed.
        header: the data set of the slice's own instance, or of another of the series.
        kind: what is kept.
        varying: it is the slice's own.
    """
    for keyword in (*(_COMMON if varying else ()), *kind.kept):
        if keyword in header:
            one[keyword] = header[keyword]
    for keyword in kind.empty:
        if keyword not in one:
            setattr(one, keyword, None)


def _set_pixels(one: Dataset, plane: Array, scale: Scale) -> None:
    """Set the pixels and their rescale.

    Args:
        one: is changed.
        plane: (rows, columns) values.
        scale: how they are stored.
    """
    stored = np.rint((plane.astype(np.float64) - scale.intercept) / scale.slope)
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Rows, one.Columns = plane.shape
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
    one.PixelData = np.clip(stored, 0, STORED_MOST).astype("<u2").tobytes()
    one["PixelData"].VR = "OW"
    one.RescaleSlope = DSfloat(format_number_as_ds(scale.slope))
    one.RescaleIntercept = DSfloat(format_number_as_ds(scale.intercept))


def _set_window(one: Dataset, frame: SourceFrame, values: Array) -> None:
    """Set the source's window, or one over all values where that shows nothing of them."""
    low, high = float(values.min()), float(values.max())
    centre, width = frame.window or (0.0, 0.0)
    if not frame.window or centre + width / 2 <= low or centre - width / 2 >= high or width < 1:
        centre, width = (low + high) / 2, max(high - low, 1e-6)
        if width < 1:
            one.VOILUTFunction = "LINEAR_EXACT"
    one.WindowCenter, one.WindowWidth = numbers([centre])[0], numbers([width])[0]
