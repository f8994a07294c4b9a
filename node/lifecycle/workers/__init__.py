"""Local processes that assemble series, and their supervision."""
