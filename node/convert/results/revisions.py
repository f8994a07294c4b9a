"""On which volume of a series an image lies, and of which revision; what does not fit is refused.

Pure: manifests and headers in, a grid out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from node.assemble.space import Matrix
from node.convert.results.grid import GridMismatch, SourceGrid
from node.convert.results.image import ResultImage
from node.convert.results.refusals import Refusal, ResultError
from node.convert.results.volume_grids import Find, grid_of_manifest

Manifest = Mapping[str, Any]


class Fit(NamedTuple):
    """Where an image lies.

    Attributes:
        orientation: (3, 2) axes of the image -> axes of the grid; None: it lies on another grid
            and has to be resampled.
        manifest: of the volume.
    """

    grid: SourceGrid
    orientation: Matrix | None
    manifest: Manifest


def find_volume(
    image: ResultImage,
    manifests: Sequence[Manifest],
    earlier: Sequence[Manifest],
    find: Find,
    *,
    revision: int | None = None,
    resample: bool = False,
) -> Fit:
    """Find the volume whose grid an image lies on.

    Args:
        image: the result.
        manifests: of the series' volumes as they are.
        earlier: of its earlier revisions, as far as they are kept.
        find: returns the headers of a source frame.
        revision: that the image was made on; None: what the manifest beside it says.
        resample: another grid is to be resampled.

    Raises:
        ResultError: `frame-of-reference`, `outdated-revision` or `grid-mismatch`.
    """
    if not manifests:
        raise ResultError(
            Refusal.NO_SUCH_SERIES,
            "The series has no volume: `rasnode status` says what became of it.",
        )
    _check_frame_of_reference(image, manifests)
    volumes = [one for one in manifests if "labels" not in one]
    if not volumes:
        raise ResultError(
            Refusal.NO_SUCH_SERIES,
            "The series is itself labels; --of names the series that they label, "
            f"{manifests[0].get('reference_series_instance_uid')}.",
        )
    fit = _fitting(image, volumes, earlier, find, resample=resample)
    made_on = revision if revision is not None else _stated(image, fit.manifest)
    if made_on is not None:
        _check_revision(made_on, fit.manifest, earlier)
    return fit


def _fitting(
    image: ResultImage,
    volumes: Sequence[Manifest],
    earlier: Sequence[Manifest],
    find: Find,
    *,
    resample: bool,
) -> Fit:
    mismatches: list[GridMismatch] = []
    for manifest in volumes:
        grid = grid_of_manifest(manifest, find)
        try:
            return Fit(grid, grid.fit(image.affine, image.shape), manifest)
        except GridMismatch as error:
            mismatches.append(error)
    if resample:
        grid = grid_of_manifest(volumes[0], find)
        return Fit(grid, None, volumes[0])
    for manifest in earlier:
        if _lies_on(image, manifest):
            raise ResultError(
                Refusal.OUTDATED_REVISION,
                f"The image lies on the grid of revision {manifest.get('revision')}, and the "
                f"series is at revision {volumes[0].get('revision')}. Make it anew.",
            )
    raise min(mismatches, key=lambda error: error.apart)


def _lies_on(image: ResultImage, manifest: Manifest) -> bool:
    """Tell whether an image lies on the grid of a volume whose sources may be gone."""
    i, j, k = (int(size) for size in manifest["shape"][:3])
    affine = np.asarray(manifest["affine"], np.float64)
    grid = SourceGrid((i, j, k), affine, (), None, "", "", "")
    try:
        grid.fit(image.affine, image.shape)
    except ResultError:
        return False
    return True


def _check_frame_of_reference(image: ResultImage, manifests: Sequence[Manifest]) -> None:
    theirs = {str(uid) for one in manifests if (uid := one.get("frame_of_reference_uid"))}
    ours = image.frames_of_reference
    if ours and theirs and not ours <= theirs:
        raise ResultError(
            Refusal.FRAME_OF_REFERENCE,
            f"The image is in the frame of reference {', '.join(sorted(ours - theirs))} by the "
            f"JSON or manifest beside it, the series in {', '.join(sorted(theirs))}, so that "
            "nothing says that they show the same place.",
        )


def _stated(image: ResultImage, manifest: Manifest) -> int | None:
    """Return the revision that the manifest beside an image says, if it is of the same series."""
    same = image.manifest.get("series_instance_uid") == manifest.get("series_instance_uid")
    number = image.manifest.get("revision")
    return number if same and isinstance(number, int) else None


def _check_revision(made_on: int, manifest: Manifest, earlier: Sequence[Manifest]) -> None:
    """Refuse an image of another revision, unless its slices were made of the same sources."""
    now = manifest.get("revision")
    if made_on == now:
        return
    same = any(
        one.get("revision") == made_on and one.get("sources") == manifest.get("sources")
        for one in earlier
    )
    if not same:
        raise ResultError(
            Refusal.OUTDATED_REVISION,
            f"The image was made on revision {made_on}, and the series is at revision {now}, "
            "whose slices have other sources. Make it anew.",
        )
