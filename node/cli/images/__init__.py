"""`coords` and `resample`: commands on images that the node wrote."""
