"""NIfTI files that the node wrote, with the sidecar and the manifest beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
from nibabel.filebasedimages import ImageFileError

from node.core.errors import ConfigError, NodeError

ENDINGS = (".nii.gz", ".nii")
XYZ = 3


class Written(NamedTuple):
    """An image and its companions.

    Attributes:
        image: as nibabel opens it.
        sidecar, manifest: contents of the JSON files beside it; empty if there are none.
    """

    image: nib.Nifti1Image | nib.Nifti2Image
    sidecar: dict[str, Any]
    manifest: dict[str, Any]

    @property
    def frame_of_reference(self) -> str:
        """The Frame of Reference UID; empty if neither file has it."""
        either = self.manifest.get("frame_of_reference_uid") or self.sidecar.get(
            "FrameOfReferenceUID"
        )
        return str(either or "")

    @property
    def slice_axis(self) -> int:
        """Which axis of the array runs over the slices."""
        return "ijk".index(self.manifest.get("slice_axis", "k"))


def open_image(path: Path) -> Written:
    """Open an image with its sidecar and manifest.

    Raises:
        ConfigError: there is no such file, or its name is not that of a NIfTI file.
        NodeError: the image or a JSON file beside it cannot be read.
    """
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    stem = stem_of(path)
    try:
        image = nib.load(path)
    except (ImageFileError, OSError, EOFError) as error:
        raise NodeError(f"{path} cannot be read as NIfTI: {error}") from error
    return Written(
        image,
        _beside(path.with_name(stem + ".json")),
        _beside(path.with_name(stem + ".manifest.json")),
    )


def stem_of(path: Path) -> str:
    """The file name without .nii or .nii.gz.

    Raises:
        ConfigError: the name has another ending.
    """
    for ending in ENDINGS:
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    raise ConfigError(f"the name {path} must end in .nii.gz or .nii")


def three_numbers(text: str, option: str) -> tuple[float, float, float]:
    """Read three numbers with commas between them.

    Args:
        text: such as 1,2.5,3.
        option: the name of the option, for the error.

    Raises:
        ConfigError: the text is something else.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != XYZ:
        raise ConfigError(f"{option} takes three numbers with commas between them, not {text!r}")
    return values[0], values[1], values[2]


def _beside(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise NodeError(f"{path} is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}
