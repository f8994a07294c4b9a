"""`coords` and `resample`: commands on NIfTI images that the node wrote."""
