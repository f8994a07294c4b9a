"""Names of output files."""
