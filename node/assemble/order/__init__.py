"""Frames in time: which volume each belongs to, by all attributes that can tell."""
