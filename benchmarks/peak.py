"""How much memory a volume takes while it is made: the peak of all processes of a command.

    python -m benchmarks.peak [--only WORD] [--quick]

For each case a file is made, `rasnode convert` is run on it, and what its processes hold is summed
ten times in the time that a slice takes. It should stay below three times the volume and 200 MB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import jpeg_ls
import numpy as np
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

MOST_TIMES: Final = 3
MOST_MORE: Final = 200e6
STEP_SECONDS: Final = 0.004
LARGE: Final = 10_000


class Case(NamedTuple):
    """What is converted.

    Attributes:
        volume: bytes of the array that is written.
        make: writes its files into a folder.
    """

    name: str
    volume: int
    make: Callable[[Path], None]


def picture(side: int, seed: int = 0) -> np.ndarray:
    """(side, side) 12 bits: smooth, with the noise of a real image."""
    rng = np.random.default_rng(seed)
    ramp = np.arange(side, dtype=np.uint32)
    smooth = (ramp[:, None] * 2 + ramp[None, :]) // 16 % 3500
    noise = rng.integers(0, 16, (side, side), np.uint16)
    return smooth.astype(np.uint16) + noise


def instance(rows: int, columns: int, sop_class: str = CTImageStorage) -> Dataset:
    """An image without pixels."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.PatientID, image.Modality = "PEAK", "CT"
    image.SeriesNumber, image.SeriesDescription, image.InstanceNumber = 1, "peak", 1
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    image.PixelSpacing, image.SliceThickness = [0.1, 0.1], 1
    image.Rows, image.Columns = rows, columns
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    return image


def save(image: Dataset, folder: Path, syntax: str, name: str = "a.dcm") -> None:
    """Write it, its pixels being in that syntax already."""
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(folder / name, enforce_file_format=True)


def slice_in(syntax: str, side: int) -> Case:
    """One slice, compressed in some way."""

    def make(folder: Path) -> None:
        pixels = picture(side)
        image = instance(side, side)
        if syntax in {ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}:
            image.PixelData = pixels.tobytes()
            return save(image, folder, syntax)
        if syntax == JPEG2000Lossless:
            frame = bytes(encode_array(pixels, bits_stored=12, photometric_interpretation=2))
        elif syntax == JPEGLSLossless:
            frame = bytes(jpeg_ls.encode_array(pixels))
        else:
            frame = get_encoder(syntax).encode(
                pixels, encoding_plugin="pylibjpeg", rows=side, columns=side, samples_per_pixel=1,
                number_of_frames=1, bits_allocated=16, bits_stored=12, pixel_representation=0,
                photometric_interpretation="MONOCHROME2", pixel_keyword="PixelData",
            )  # fmt: skip
        image.PixelData = encapsulate([frame])
        image["PixelData"].VR = "OB"
        return save(image, folder, syntax)

    names = {
        ExplicitVRLittleEndian: "native",
        DeflatedExplicitVRLittleEndian: "deflated",
        RLELossless: "RLE",
        JPEG2000Lossless: "JPEG 2000",
        JPEGLSLossless: "JPEG-LS",
    }
    return Case(f"slice of {side}², {names[syntax]}", side * side * 2, make)


def colour(side: int, photometric: str, planar: int) -> Case:
    """One slice in colour."""

    def make(folder: Path) -> None:
        image = instance(side, side, SecondaryCaptureImageStorage)
        image.SamplesPerPixel, image.PhotometricInterpretation = 3, photometric
        image.PlanarConfiguration = planar
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        del image.RescaleSlope, image.RescaleIntercept
        grey = (picture(side) >> 4).astype(np.uint8)
        order = [grey] * 3
        image.PixelData = np.stack(order, axis=0 if planar else 2).tobytes()
        save(image, folder, ExplicitVRLittleEndian)

    return Case(f"{photometric} of {side}², planar {planar}", side * side * 3, make)


def classic(side: int, slices: int) -> Case:
    """A series of slices."""

    def make(folder: Path) -> None:
        study, series, frame = generate_uid(), generate_uid(), generate_uid()
        pixels = picture(side).tobytes()
        for k in range(slices):
            image = instance(side, side)
            image.StudyInstanceUID, image.SeriesInstanceUID = study, series
            image.FrameOfReferenceUID, image.InstanceNumber = frame, k + 1
            image.ImagePositionPatient = [0, 0, k]
            image.PixelData = pixels
            save(image, folder, ExplicitVRLittleEndian, f"{k:04}.dcm")

    return Case(f"{slices} slices of {side}²", side * side * slices * 2, make)


def enhanced(side: int, frames: int, *, runs: bool) -> Case:
    """A multi-frame image."""

    def make(folder: Path) -> None:
        image = instance(side, side, EnhancedCTImageStorage)
        del image.ImageOrientationPatient, image.ImagePositionPatient
        del image.PixelSpacing, image.SliceThickness, image.RescaleSlope, image.RescaleIntercept
        image.NumberOfFrames = frames
        shared = Dataset()
        measures, orientation, scale = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing, measures.SliceThickness = [0.5, 0.5], 1
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, -1024, "HU"
        shared.PixelMeasuresSequence = Sequence([measures])
        shared.PlaneOrientationSequence = Sequence([orientation])
        shared.PixelValueTransformationSequence = Sequence([scale])
        image.SharedFunctionalGroupsSequence = Sequence([shared])
        places = []
        for k in range(frames):
            place, position = Dataset(), Dataset()
            position.ImagePositionPatient = [0, 0, k]
            place.PlanePositionSequence = Sequence([position])
            places.append(place)
        image.PerFrameFunctionalGroupsSequence = Sequence(places)
        pixels = picture(side)
        if not runs:
            image.PixelData = pixels.tobytes() * frames
            return save(image, folder, ExplicitVRLittleEndian)
        frame = get_encoder(RLELossless).encode(
            pixels, encoding_plugin="pylibjpeg", rows=side, columns=side, samples_per_pixel=1,
            number_of_frames=1, bits_allocated=16, bits_stored=12, pixel_representation=0,
            photometric_interpretation="MONOCHROME2", pixel_keyword="PixelData",
        )  # fmt: skip
        image.PixelData = encapsulate([frame] * frames)
        image["PixelData"].VR = "OB"
        return save(image, folder, RLELossless)

    how = "RLE" if runs else "native"
    return Case(f"multi-frame {side}²x{frames}, {how}", side * side * frames * 2, make)


def held(process: int) -> int:
    """Bytes that a process and its descendants have in memory, what they share counted again."""
    total, family = 0, [process]
    for one in family:
        with suppress(OSError, IndexError):  # it has ended
            for thread in Path(f"/proc/{one}/task").iterdir():
                family += map(int, (thread / "children").read_text().split())
            status = Path(f"/proc/{one}/status").read_text()
            total += int(status.partition("VmRSS:")[2].split()[0]) * 1024
    return total


def peak(folder: Path, out: Path) -> tuple[int, float, str]:
    """Convert a folder; return the most that was held, how long it took, and what was said."""
    began, most = time.monotonic(), 0
    with subprocess.Popen(
        [sys.executable, "-m", "node", "convert", str(folder), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while process.poll() is None:
            most = max(most, held(process.pid))
            time.sleep(STEP_SECONDS)
        assert process.stdout is not None
        said = process.stdout.read()
    return most, time.monotonic() - began, said.strip().splitlines()[-1] if said.strip() else ""


def cases(*, quick: bool) -> list[Case]:
    """All of them; small ones are made in seconds."""
    side = 2500 if quick else LARGE
    slices, frames = (60, 60) if quick else (600, 300)
    return [
        slice_in(ExplicitVRLittleEndian, side),
        slice_in(DeflatedExplicitVRLittleEndian, side),
        slice_in(RLELossless, side),
        slice_in(JPEGLSLossless, side),
        slice_in(JPEG2000Lossless, side),
        colour(side, "RGB", 0),
        colour(side, "RGB", 1),
        colour(side, "YBR_FULL", 0),
        classic(512, slices),
        enhanced(512, frames, runs=False),
        enhanced(512, frames, runs=True),
    ]


def main() -> None:
    """Measure and print; the exit code is 1 if a case took too much."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--quick", action="store_true", help="smaller images")
    options = parser.parse_args()
    failed = False
    for case in cases(quick=options.quick):
        if options.only not in case.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in")
            source.mkdir()
            case.make(source)
            most, seconds, said = peak(source, Path(folder, "out"))
        bound = MOST_TIMES * case.volume + MOST_MORE
        over = most > bound or ".nii" not in said
        failed |= over
        print(
            f"{case.name:34} volume {case.volume / 1e6:6.0f} MB  peak {most / 1e6:6.0f} MB  "
            f"bound {bound / 1e6:6.0f} MB  {seconds:6.1f} s  {'OVER' if over else ''}",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
