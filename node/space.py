"""The mathematics of space, for programs that use rasnode: LPS and RAS, voxels and millimetres."""

from node.assemble.resampling import resample
from node.assemble.space import (
    GRID_TOLERANCE,
    LPS_TO_RAS,
    canonical_affine,
    canonical_orientation,
    is_sheared,
    lps_to_ras,
    orthogonal_grid,
    ras_to_lps,
    respaced_grid,
    to_voxel,
    to_world,
    voxel_map,
    voxel_sizes,
)

__all__ = [
    "GRID_TOLERANCE",
    "LPS_TO_RAS",
    "canonical_affine",
    "canonical_orientation",
    "is_sheared",
    "lps_to_ras",
    "orthogonal_grid",
    "ras_to_lps",
    "resample",
    "respaced_grid",
    "to_voxel",
    "to_world",
    "voxel_map",
    "voxel_sizes",
]
