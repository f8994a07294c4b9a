"""Volumes in RAS order: filled, scaled, resampled, previewed, labelled; NIfTI and manifest."""
