"""Storage SCP (PS3.4 B)."""
