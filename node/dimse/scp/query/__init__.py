"""Query/Retrieve SCP (PS3.4 C)."""
