"""Stored pixel values, and what they mean (PS3.5 8, PS3.3 C.11.1)."""
