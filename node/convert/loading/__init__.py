"""Volumes in Python: where DICOM files may be, what a volume offers, and volumes of a node."""
