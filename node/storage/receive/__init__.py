"""Receiving instances: what is accepted, what is refused, and how it reaches the journal."""
