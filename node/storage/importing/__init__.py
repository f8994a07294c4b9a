"""Import: DICOM files go into the journal, with the checks and the durability of C-STORE."""
