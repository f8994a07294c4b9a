"""`convert`: DICOM files to NIfTI, without a node."""
