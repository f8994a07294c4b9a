"""Random scanners: one series with a known truth, written as its vendor would, and judged."""
