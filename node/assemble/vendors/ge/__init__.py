"""GE's private elements."""
