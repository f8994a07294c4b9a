"""What the viewer reads from manifests: grids, labels, and the instance that a voxel came from."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_SAME_GRID_MM = 0.01
"""Two grids of one node with the same geometry differ by rounding alone."""


class Label(NamedTuple):
    """One label of a label map.

    Attributes:
        value: of its voxels.
        name: of the segment or region of interest.
        colour: red, green, blue, 0 to 255; None: the labels state none.
    """

    value: int
    name: str
    colour: tuple[int, int, int] | None


class Proof(NamedTuple):
    """The part of a manifest that the viewer needs.

    Attributes:
        shape: voxels along i, j, k, and t if there are several volumes.
        affine: (4, 4) voxel (i, j, k) -> RAS mm.
        slice_axis: the axis of the array that runs over the slices: 0, 1 or 2.
        sources: (index on that axis, t) -> SOP Instance UID.
        source: the SOP Instance UID that all voxels came from; None: `sources` has them.
        reference: Series Instance UID of the labelled series; empty: it is no label map.
        labels: of a label map.
    """

    shape: tuple[int, ...]
    affine: tuple[float, ...]
    slice_axis: int
    sources: dict[tuple[int, int], str]
    source: str | None
    reference: str
    labels: tuple[Label, ...]

    def source_of(self, voxel: tuple[int, int, int], time: int) -> str | None:
        """The SOP Instance UID that a voxel came from; None if the manifest does not have it.

        Args:
            voxel: i, j, k.
            time: index t.
        """
        return self.source or self.sources.get((voxel[self.slice_axis], time))

    def on_grid_of(self, other: Proof) -> bool:
        """Whether each voxel (i, j, k) has the place of the other one's."""
        if self.shape[:3] != other.shape[:3] or not self.affine or not other.affine:
            return False
        between = np.subtract(self.affine, other.affine).reshape(4, 4)
        corners = np.array(np.meshgrid(*([0, count - 1] for count in self.shape[:3]), [1]))
        return bool(np.abs(between @ corners.reshape(4, -1)).max() <= _SAME_GRID_MM)


def read_proof(manifest: Path) -> Proof:
    """Read a manifest; again only if it has changed.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    return _read(manifest, manifest.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read(manifest: Path, _changed: int) -> Proof:
    content: dict[str, Any] = json.loads(manifest.read_bytes())
    sources: dict[tuple[int, int], str] = {}
    everywhere = None
    for item in content.get("sources", []):
        uid = str(item["sop_instance_uid"])
        if "k" in item:
            sources[int(item["k"]), int(item.get("t", 0))] = uid
        else:  # the instance with the labels
            everywhere = uid
    return Proof(
        shape=tuple(int(count) for count in content.get("shape", [])),
        affine=tuple(float(value) for row in content.get("affine", []) for value in row),
        slice_axis="ijk".index(content.get("slice_axis", "k")),
        sources=sources,
        source=everywhere,
        reference=str(content.get("reference_series_instance_uid") or ""),
        labels=tuple(_label(item) for item in content.get("labels") or []),
    )


def _label(item: dict[str, Any]) -> Label:
    colour = item.get("colour")
    if colour is not None:
        red, green, blue = (min(255, max(0, int(part))) for part in colour)
        colour = (red, green, blue)
    return Label(int(item["value"]), str(item.get("name", "")), colour)
