"""Which instance a voxel came from, according to the volume's manifest."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any


def source_of(manifest: Path, voxel: tuple[int, int, int], time: int) -> str | None:
    """The SOP Instance UID of the instance that a voxel came from.

    Args:
        manifest: of the volume.
        voxel: i, j, k.
        time: index t of the volume in time.

    Returns:
        None if the manifest does not have it.
    """
    try:
        axis, sources = _sources(manifest, manifest.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None
    return sources.get((voxel[axis], time))


@lru_cache(maxsize=8)
def _sources(manifest: Path, _changed: int) -> tuple[int, dict[tuple[int, int], str]]:
    """The slice axis of the array, and (index on it, t) -> SOP Instance UID."""
    content: dict[str, Any] = json.loads(manifest.read_bytes())
    axis = "ijk".index(content.get("slice_axis", "k"))
    return axis, {
        (int(item["k"]), int(item["t"])): str(item["sop_instance_uid"])
        for item in content.get("sources", [])
    }
