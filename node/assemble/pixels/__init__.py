"""From pixel data to stored values and voxel values (PS3.5 8, PS3.3 C.11.1)."""
