"""A volume that is a file: a NIfTI with its manifest beside it, as a node or `convert` wrote it."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from node.assemble.space import Matrix
from node.convert.folder import files_below, read_file
from node.convert.loading.volume import LoadedVolume
from node.core.errors import AssemblyError, MalformedDataSet, Reason
from node.core.system.disk import file_sha256
from node.storage.archive import shard_of

ENDINGS: Final = (".nii.gz", ".nii")
MANIFEST: Final = ".manifest.json"
AFFINE_MM: Final = 1e-3
"""mm; what float32 in the NIfTI may make an affine differ from the manifest's."""
MOST_MANIFEST_BYTES: Final = 256 << 20
_ARCHIVE: Final = "archive"
_UID: Final = re.compile(r"[0-9.]{1,64}")
"""PS3.5 9.1; nothing else becomes a path."""


@dataclass(frozen=True)
class PublishedVolume(LoadedVolume):
    """One that is a file.

    Attributes:
        image: the file, its voxels not read yet.
        told: its manifest.
    """

    image: nib.Nifti1Image | nib.Nifti2Image = field(repr=False)
    told: Mapping[str, Any] = field(repr=False)

    @property
    def affine(self) -> Matrix:
        """(4, 4) voxel (i, j, k) -> RAS mm, as the file has it: in float32's precision."""
        return np.asarray(self.image.affine, np.float64)

    def nifti(self) -> nib.Nifti1Image | nib.Nifti2Image:
        """Return the image in the file; its voxels are read when they are asked for."""
        return self.image

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What `.manifest.json` beside the file says."""
        return self.told

    @cached_property
    def revision(self) -> int:
        """Which revision of its series it is."""
        return int(self.told.get("revision", 0))


def open_volume(
    path: str | PathLike[str],
    source: str | PathLike[str] | None = None,
    *,
    verify: bool = True,
) -> PublishedVolume:
    """Open a NIfTI that a node or `rasnode convert` wrote, with its manifest.

    Args:
        path: the NIfTI; `.manifest.json` with the same stem has to be beside it.
        source: the folder of its DICOM files; without it they are looked for in the archive of
            the node whose output the file is.
        verify: compare the file with the SHA-256 in its manifest.

    Returns:
        the volume; `instances` is empty where its DICOM files are not found.

    Raises:
        FileNotFoundError: the image or its manifest is not there.
        AssemblyError: `output-damaged`: the two do not belong together, or cannot be read.
    """
    image_path = Path(path)
    if not image_path.is_file():
        raise FileNotFoundError(errno.ENOENT, "There is no such file", str(path))
    manifest = manifest_beside(image_path)
    if verify and manifest.get("sha256") and file_sha256(image_path) != manifest["sha256"]:
        raise _damaged(image_path, "is not the file that its manifest describes")
    try:
        image = nib.load(image_path)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise _damaged(image_path, f"cannot be read as NIfTI ({error})") from error
    try:
        same = image.shape == tuple(manifest["shape"]) and np.allclose(
            image.affine, np.asarray(manifest["affine"], np.float64), rtol=0, atol=AFFINE_MM
        )
        uids = [str(one["sop_instance_uid"]) for one in manifest["sources"]]
        series = str(manifest["series_instance_uid"])
        study = str(manifest["study_instance_uid"])
        residual = float(manifest["residual_mm"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(image_path, "has a manifest that is not one of rasnode") from error
    if not same:
        raise _damaged(image_path, "has another shape or affine than its manifest says")
    wanted = list(dict.fromkeys(uids))
    if source is None:
        found = _archived(image_path, study, series, wanted)
    else:
        found = _instances_in(Path(source), set(wanted))
    return PublishedVolume(
        series_instance_uid=series,
        suffix="",
        residual_mm=residual,
        instances=tuple(found[uid] for uid in wanted if uid in found),
        image=image,
        told=manifest,
    )


def manifest_beside(image: Path) -> dict[str, Any]:
    """Read the manifest beside an image.

    Raises:
        FileNotFoundError: there is none.
        AssemblyError: `output-damaged`: it cannot be read.
    """
    ending = next((one for one in ENDINGS if image.name.endswith(one)), "")
    path = image.with_name(image.name.removesuffix(ending) + MANIFEST)
    if not ending or not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "There is no manifest beside the image", str(path))
    try:
        if path.stat().st_size > MOST_MANIFEST_BYTES:
            raise _damaged(image, "has a manifest that is too large to be one of rasnode")
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(image, "has a manifest that is no JSON") from error
    if not isinstance(found, dict):
        raise _damaged(image, "has a manifest that is not one of rasnode")
    return found


def _damaged(image: Path, what: str) -> AssemblyError:
    return AssemblyError(Reason.OUTPUT_DAMAGED, f"{image} {what}.")


def _archived(image: Path, study: str, series: str, uids: list[str]) -> dict[str, Path]:
    """Find instances in the archive beside one of the folders that the image is in."""
    if not all(_UID.fullmatch(uid) for uid in (study, series, *uids)):
        return {}
    for folder in image.absolute().parents:
        place = folder / _ARCHIVE / shard_of(study) / study / series
        if place.is_dir():
            found = {uid: place / f"{uid}.dcm" for uid in uids}
            return {uid: one for uid, one in found.items() if one.is_file()}
    return {}


def _instances_in(folder: Path, wanted: set[str]) -> dict[str, Path]:
    """Find instances by their UIDs among the files of a folder."""
    found: dict[str, Path] = {}
    for path in files_below([folder]):
        try:
            one = read_file(path)
        except (MalformedDataSet, OSError):
            continue
        if one is not None and one.uid in wanted:
            found.setdefault(one.uid, path)
    return found
