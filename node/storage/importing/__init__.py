"""Import: DICOM files into a lane of the journal, with the checks and the durability of C-STORE."""
