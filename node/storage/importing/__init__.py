"""`rasnode import`: DICOM files go into the journal, with the checks and durability of C-STORE."""
