"""Annotations to shapes, and shapes to voxels: reports, presentation states, points of RT."""
