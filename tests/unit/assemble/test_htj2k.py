"""High-throughput JPEG 2000, in streams that OpenJPH 0.9 wrote; no Python package here writes it.

`ojph_compress -num_decomps 2 -dims {12,10} -num_comps 1 -downsamp {1,1} -signed false
-bit_depth 12`, with `-reversible true` or `-qstep 0.0002`, made them of the phantom's slices.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL

from node.convert import Conversion, convert_series, read_folder
from node.core.errors import Reason
from tests.phantom import Phantom, save

PHANTOM = Phantom(size=(12, 10, 2))
LOSSLESS = [
    b64decode(text)
    for text in (
        "/0//UQApQAAAAAAMAAAACgAAAAAAAAAAAAAADAAAAAoAAAAAAAAAAAABCwEB/1AACAACAAAAB/9SAAwAAgABAAIE"
        "BEAB/1wACiBweHh4cHB4/2QAFgABT3BlbkpQSCBWZXIgMC45LjAu/5AACgAAAAAAqgAB/5PAAWqAW0KkIsCgPJ8D"
        "NrKS/Aol5kIBv5gAwAC0oABWQACsV0zBehz1Vrf+AGCF5hCA/1kA51j7ABf4ACiA51YAX/H0D/96ACDA51YAwAFt"
        "QAFtQAC0gDjc/3/BJUXXv3/+B5f+0OMQBOMIDGFxAnwA/2G//uu//zcc4974jTCOcf7pZT0+YSzAuQD/f3//e3//"
        "f+gMYBOMwnlCegD/2Q==",
        "/0//UQApQAAAAAAMAAAACgAAAAAAAAAAAAAADAAAAAoAAAAAAAAAAAABCwEB/1AACAACAAAAB/9SAAwAAgABAAIE"
        "BEAB/1wACiBweHh4cHB4/2QAFgABT3BlbkpQSCBWZXIgMC45LjAu/5AACgAAAAAAwgAB/5PAAWqAZmKwK+FfiYrJ"
        "jWRGwRxLzIQBfrgAwAC1IABaEAArwA6OvDcElq5+8afg+QYFuIIAf5gADsBUXsLOzO4K/gBSgb2WAB74wff+7fd+"
        "8ABSAb+WAMABdDAAXQwAC0j+uHD598//fs//fJ9/cIEL/35xwAhWMgHfeCkgFrjEvgD+wT/873/981//eo//cB+M"
        "wziMYxxj48+2d9ngFvzjWgD++9//fN//e8gAUFmhXXKPegD/2Q==",
    )
]
LOSSY = b64decode(
    "/0//UQApQAAAAAAMAAAACgAAAAAAAAAAAAAADAAAAAoAAAAAAAAAAAABCwEB/1AACAACAAAAJv9SAAwAAgABAAIE"
    "BEAA/1wAESJ8uH0hfSF9jXT2dPZ0mf9kABYAAU9wZW5KUEggVmVyIDAuOS4wLv+QAAoAAAAAAOcAAf+TwAC1wFVA"
    "WwMkCuUw3bdRrgjX/gol5mMBv5gAwAC1IABXwACt+gBTJBAX8e3LxvoAOIvMQQD6uQC8KZQDGJU8ZMEAYgG/lgBI"
    "lDYIvJ/YAEGBv5YAwAF1EABdfAAXSLY9ZYhlm/FqUZYwrBFAKlnQ9u2i33xacFzW9AtXuYhIAvoxCkALfQCKCoVC"
    "wVCsF68CD0BAt/BE4CAxPxXIHEy8JDmER3ndAsCHuYRIoQHvRDGAAGowARg8wKREg2bDIKMEiGqWNowHgXYoc0Ew"
    "HunFt7nkhBA+9INbAP/Z"
)
COMPONENT = 42
"""Offset of Ssiz, bit depth and sign of the component (ITU-T T.800 A.5.1)."""
STEP = 2
"""What the quantization leaves of the error, in stored values."""


def converted(frames: list[bytes], syntax: str, folder: Path, *, signed: int = 0) -> Conversion:
    datasets = PHANTOM.instances()
    for dataset, frame in zip(datasets, frames, strict=True):
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset.PixelRepresentation = signed
    save(datasets, folder / "in", syntax)
    (series,) = read_folder([folder / "in"])[0]
    return convert_series(series.instances, folder, "v")


def voxels(folder: Path) -> np.ndarray:
    image = np.asarray(nib.load(folder / "v.nii.gz").dataobj)  # type: ignore[attr-defined]
    return image[::-1, ::-1].transpose(2, 1, 0).astype(int)


def stored(k: int) -> np.ndarray:
    return np.frombuffer(PHANTOM.instance(k).PixelData, "<u2").reshape(10, 12).astype(int)


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL])
@pytest.mark.parametrize("signed", [0, 1])
def test_lossless(signed: int, syntax: str, tmp_path: Path) -> None:
    """Values of a signed component are those of an unsigned one without the level shift."""
    frames = [bytearray(frame) for frame in LOSSLESS]
    for frame in frames:
        frame[COMPONENT] |= signed << 7
    assert not converted([bytes(one) for one in frames], syntax, tmp_path, signed=signed).refusals
    expected = np.stack([stored(k) for k in range(2)]) - signed * 2048
    assert np.array_equal(voxels(tmp_path), expected)


@pytest.mark.parametrize("signed", [0, 1])
def test_a_sign_that_the_header_contradicts_is_refused(signed: int, tmp_path: Path) -> None:
    frames = [bytearray(frame) for frame in LOSSLESS]
    for frame in frames:
        frame[COMPONENT] |= signed << 7
    result = converted([bytes(one) for one in frames], HTJ2KLossless, tmp_path, signed=1 - signed)
    assert [error.reason for error in result.refusals] == [Reason.PIXELS_UNREADABLE]


def test_lossy(tmp_path: Path) -> None:
    assert not converted([LOSSY, LOSSY], HTJ2K, tmp_path).refusals
    assert np.abs(voxels(tmp_path) - stored(0)).max() <= STEP


def test_a_cut_stream_is_refused(tmp_path: Path) -> None:
    (refusal,) = converted([LOSSLESS[0], LOSSLESS[1][:90]], HTJ2KLossless, tmp_path).refusals
    assert refusal.reason in {Reason.PIXELS_TRUNCATED, Reason.PIXELS_UNREADABLE}
