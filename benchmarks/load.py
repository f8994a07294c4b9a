"""How long a series takes from files to an array and an affine, and how much memory.

    python -m benchmarks.load [--rounds 3] [--slices 300] [--json FILE]

`load_dicom` next to SimpleITK's ImageSeriesReader, dicom2nifti and a plain stack with pydicom, on
a CT, uncompressed and in JPEG 2000, and on an enhanced multi-frame MR. Each run has a process of
its own, in which the libraries are imported before the clock starts; all take turns, and each
one's best round counts. SimpleITK and dicom2nifti are left out where they are not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from openjpeg.utils import encode_array
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

from benchmarks.peak import instance, picture

SIDE: Final = 512
MR_SIDE: Final = 256
PATTERNS: Final = 10
"""Slices that are made; the others have the pixels of one of them."""
TURN: Final = np.deg2rad(7.0)
"""The slices are a little oblique, as most are."""


def placed(k: int, spacing: float) -> list[str]:
    """Image Position (Patient) of a slice."""
    along = np.array([0.0, -np.sin(TURN), np.cos(TURN)]) * k * spacing
    return [f"{value:.6f}" for value in np.array([-180.0, -200.0, -150.0]) + along]


def orientation() -> list[str]:
    """Image Orientation (Patient)."""
    return [f"{value:.8f}" for value in (1, 0, 0, 0, np.cos(TURN), np.sin(TURN))]


def jpeg_2000(pixels: np.ndarray) -> bytes:
    """A slice, compressed without loss."""
    return bytes(encode_array(pixels, bits_stored=12, photometric_interpretation=2))


def write_ct(folder: Path, slices: int, *, packed: bool) -> None:
    """A CT of one file a slice."""
    folder.mkdir()
    raw = [picture(SIDE, seed) for seed in range(PATTERNS)]
    coded = (
        [encode_array(one, bits_stored=12, photometric_interpretation=2) for one in raw]
        if packed
        else []
    )
    common = instance(SIDE, SIDE)
    common.PixelSpacing, common.SliceThickness = [0.7, 0.7], 1
    common.ImageOrientationPatient = orientation()
    common.FrameOfReferenceUID, common.KVP = generate_uid(), 120
    common.RescaleSlope, common.RescaleIntercept, common.RescaleType = 1, -1024, "HU"
    common.Manufacturer, common.PatientName, common.StudyID = "MAKER", "LOAD", "1"
    for k in range(slices):
        common.SOPInstanceUID = common.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        common.InstanceNumber, common.SliceLocation = k + 1, k
        common.ImagePositionPatient = placed(k, 1.0)
        if packed:
            common.PixelData = encapsulate([coded[k % PATTERNS]])
            common["PixelData"].VR = "OB"
            common["PixelData"].is_undefined_length = True
        else:
            common.PixelData = raw[k % PATTERNS].tobytes()
            common["PixelData"].VR = "OW"
        syntax = JPEG2000Lossless if packed else ExplicitVRLittleEndian
        common.file_meta.TransferSyntaxUID = syntax
        common.save_as(folder / f"{k:04d}.dcm", enforce_file_format=True)


def write_mr(folder: Path, slices: int) -> None:
    """An enhanced MR of one file."""
    folder.mkdir()
    image = instance(MR_SIDE, MR_SIDE, EnhancedMRImageStorage)
    image.Modality, image.Manufacturer, image.PatientName = "MR", "MAKER", "LOAD"
    image.FrameOfReferenceUID, image.NumberOfFrames = generate_uid(), slices
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        delattr(image, keyword)
    measures, plane, values = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.9], 1.2
    plane.ImageOrientationPatient = orientation()
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, 0, "US"
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [values]
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in range(slices):
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = placed(k, 1.2)
        content.StackID, content.InStackPositionNumber = "1", k + 1
        content.DimensionIndexValues = [1, k + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    pixels = np.stack([picture(MR_SIDE, k % PATTERNS) for k in range(slices)])
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(folder / "mr.dcm", enforce_file_format=True)


# ------------------------------------------------------------------ who loads
Loaded = tuple[np.ndarray, Any]


def by_rasnode(folder: Path) -> Callable[[], Loaded]:
    """`load_dicom`."""
    from node import load_dicom  # noqa: PLC0415  imported before the clock starts

    def load() -> Loaded:
        volume = load_dicom(folder)
        return volume.array, volume.affine

    return load


def by_simpleitk(folder: Path) -> Callable[[], Loaded]:
    """SimpleITK: its series reader, or its image reader for the one file of an enhanced image."""
    import SimpleITK as sitk  # noqa: N813, PLC0415

    def load() -> Loaded:
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
        if len(names) == 1:
            image = sitk.ReadImage(names[0])
        else:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(names)
            image = reader.Execute()
        return sitk.GetArrayFromImage(image), (image.GetOrigin(), image.GetDirection())

    return load


def by_dicom2nifti(folder: Path) -> Callable[[], Loaded]:
    """dicom2nifti, without writing a file."""
    from dicom2nifti import settings  # noqa: PLC0415
    from dicom2nifti.convert_dicom import dicom_series_to_nifti  # noqa: PLC0415

    settings.disable_validate_slice_increment()

    def load() -> Loaded:
        image = dicom_series_to_nifti(str(folder), None, reorient_nifti=False)["NII"]
        return np.asanyarray(image.dataobj), image.affine

    return load


def by_pydicom(folder: Path) -> Callable[[], Loaded]:
    """What most scripts do: read, sort along the normal, stack, rescale."""

    def load() -> Loaded:
        images = [dcmread(path) for path in sorted(folder.iterdir())]
        if "NumberOfFrames" in images[0]:
            groups = images[0].PerFrameFunctionalGroupsSequence
            at = [one.PlanePositionSequence[0].ImagePositionPatient for one in groups]
            return images[0].pixel_array, at
        normal = np.cross(*np.reshape(images[0].ImageOrientationPatient, (2, 3)).astype(float))
        images.sort(key=lambda one: float(normal @ np.array(one.ImagePositionPatient, float)))
        stacked = np.stack([one.pixel_array for one in images])
        slope, intercept = int(images[0].RescaleSlope), int(images[0].RescaleIntercept)
        values = (stacked.astype(np.int16) * np.int16(slope)) + np.int16(intercept)
        return values, [one.ImagePositionPatient for one in images]

    return load


LOADERS: Final[dict[str, tuple[str, Callable[[Path], Callable[[], Loaded]]]]] = {
    "rasnode": ("node", by_rasnode),
    "SimpleITK": ("SimpleITK", by_simpleitk),
    "dicom2nifti": ("dicom2nifti", by_dicom2nifti),
    "pydicom": ("pydicom", by_pydicom),
}


def peak_bytes() -> int:
    """Return the most memory that this process and its children ever held, summed."""
    own = os.getpid()
    children = Path(f"/proc/self/task/{own}/children").read_text().split()
    total = 0
    for process in (own, *children):
        status = Path(f"/proc/{process}/status").read_text()
        total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total


def alone(name: str, folder: Path) -> None:
    """Load once in this process, and print what it took."""
    load = LOADERS[name][1](folder)
    before = peak_bytes()
    began = time.perf_counter()
    array, _ = load()
    took = time.perf_counter() - began
    peak = peak_bytes()
    total = int(np.asarray(array, dtype=np.int64).sum())
    told = {"seconds": took, "MB": (peak - before) / 1e6, "sum": total, "size": int(array.size)}
    print(json.dumps(told))


def one_run(name: str, folder: Path) -> dict[str, Any] | str:
    """Let another process load it; why it did not, if so."""
    command = [sys.executable, "-m", "benchmarks.load", "--alone", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1][:100]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(folder: Path, rounds: int) -> dict[str, Any]:
    """Let all take turns; print and return each one's best."""
    best: dict[str, Any] = {}
    for _ in range(rounds):
        for name, (module, _) in LOADERS.items():
            if find_spec(module) is None:
                best[name] = "not installed"
            elif not isinstance(best.get(name), str):
                told = one_run(name, folder)
                if isinstance(told, str) or name not in best:
                    best[name] = told
                else:
                    best[name] = min(best[name], told, key=lambda one: one["seconds"])
    ours = best["rasnode"]
    assert not isinstance(ours, str), ours
    for name, told in best.items():
        if isinstance(told, str):
            print(f"  {name:12} {told}")
            continue
        same = (told["sum"], told["size"]) == (ours["sum"], ours["size"])
        told["ratio"] = told["seconds"] / ours["seconds"]
        print(
            f"  {name:12} {told['seconds']:6.2f} s  {told['ratio']:5.2f} x  {told['MB']:6.0f} MB"
            f"  {'' if same else 'other values'}",
            flush=True,
        )
    return best


def main() -> None:
    """Make the series, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--only", choices=["ct", "j2k", "mr"], help="one of the series")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", nargs=2, metavar=("WHO", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(options.alone[0], Path(options.alone[1]))
        return
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        ct = f"CT {SIDE} x {SIDE} x {options.slices}"
        cases: dict[str, tuple[str, Callable[[Path], None]]] = {
            "ct": (f"{ct}, uncompressed", partial(write_ct, slices=options.slices, packed=False)),
            "j2k": (f"{ct}, JPEG 2000", partial(write_ct, slices=options.slices, packed=True)),
            "mr": (
                f"enhanced MR {MR_SIDE} x {MR_SIDE} x {options.slices}",
                partial(write_mr, slices=options.slices),
            ),
        }
        for name, (title, make) in cases.items():
            if options.only in {None, name}:
                make(root / name)
                print(title, flush=True)
                results[title] = compare(root / name, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
