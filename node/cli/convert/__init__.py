"""`rasnode convert`: a folder of DICOM to NIfTI."""
