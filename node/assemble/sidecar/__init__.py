"""What the BIDS sidecar of a volume says, on the axes of the array as written."""
