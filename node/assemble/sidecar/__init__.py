"""The BIDS sidecar of a volume, with axes of the array as written."""
