"""Masks to Segmentations: what is said of all frames, and each frame as bytes."""
