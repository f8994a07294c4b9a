"""The DICOM port and everything that serves it: in the node's process, or in several."""
