"""Studies: decides when all of their series are at rest, and tells of it."""
