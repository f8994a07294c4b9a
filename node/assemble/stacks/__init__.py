"""Frames in space: grouped into images, sorted along their normal, fitted by one affine."""
