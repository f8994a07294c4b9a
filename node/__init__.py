"""rasnode: a DICOM destination that hands back science-ready volumes."""
