"""Volumes in RAS order: filled, scaled, written, pictured, labelled."""
