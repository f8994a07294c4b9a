"""Frames in space: which belong to one image, and the affine that fits them."""
