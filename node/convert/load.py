"""DICOM to arrays in Python: `load_dicom` and `load_all`.

Examples:
    >>> from pydicom.data import get_testdata_file
    >>> volume = load_dicom(get_testdata_file("CT_small.dcm"))
    >>> volume.array.shape, volume.array.dtype.name
    ((128, 128, 1), 'int16')
    >>> volume.affine.round(2).tolist()[2]
    [0.0, 0.0, 5.0, -75.7]
    >>> [one.suffix for one in load_all(get_testdata_file("CT_small.dcm"))]
    ['']
"""

from __future__ import annotations

from node.convert import InstanceSource, Volume, read_folder, volumes_of
from node.convert.loading.inputs import Inputs, Source, inputs_of
from node.convert.loading.volume import AssembledVolume, LoadedVolume
from node.core.errors import AssemblyError, Reason

__all__ = ["LoadedVolume", "Source", "load_all", "load_dicom"]


def load_dicom(source: Source) -> LoadedVolume:
    """Load the one volume in a file or folder.

    Args:
        source: a file, a folder, a ZIP file, a DICOMDIR, a pattern such as `series/*.dcm`, or
            several of them.

    Raises:
        FileNotFoundError: a file or folder is not there, or a pattern finds nothing.
        AssemblyError: there is none that can be trusted (the first refusal says why), or there
            are several (`several-volumes`): then use `load_all`.
    """
    volumes, refusals = _load(source)
    if len(volumes) == 1:
        return volumes[0]
    if volumes:
        raise AssemblyError(
            Reason.SEVERAL_VOLUMES,
            f"There are {len(volumes)} volumes in it, not one; load_all returns them all.",
        )
    raise refusals[0] if refusals else _nothing()


def load_all(source: Source) -> list[LoadedVolume]:
    """Load every volume of every series in a file or folder.

    Args:
        source: as for `load_dicom`.

    Raises:
        FileNotFoundError: a file or folder is not there, or a pattern finds nothing.
        AssemblyError: there is none that can be trusted, or no DICOM image at all.
    """
    volumes, refusals = _load(source)
    if not volumes:
        raise refusals[0] if refusals else _nothing()
    return volumes


def _nothing() -> AssemblyError:
    return AssemblyError(Reason.NOT_AN_IMAGE, "There is no DICOM image in it.")


def _load(source: Source) -> tuple[list[LoadedVolume], list[AssemblyError]]:
    inputs = inputs_of(source)
    volumes: list[LoadedVolume] = []
    refusals: list[AssemblyError] = []
    found_series = read_folder(inputs.paths)[0]
    present = {series.uid for series in found_series}
    for series in found_series:
        for found in volumes_of(series.instances, present):
            if isinstance(found, AssemblyError):
                refusals.append(found)
            else:
                volumes.append(_loaded(found, series.uid, series.instances, inputs))
    return volumes, refusals


def _loaded(
    volume: Volume, uid: str, instances: tuple[InstanceSource, ...], inputs: Inputs
) -> AssembledVolume:
    paths = {one.header.identity: one.path for one in instances}
    step = -1 if volume.plan.orientation[2, 1] < 0 else 1
    used = (piece.header.identity for row in volume.plan.grid for piece in row[::step])
    return AssembledVolume(
        series_instance_uid=uid,
        suffix=volume.plan.suffix,
        residual_mm=volume.plan.residual_mm,
        instances=tuple(dict.fromkeys(paths[identity] for identity in used)),
        volume=volume,
        kept=inputs.kept,
    )
