"""The DICOM network: one association at a time per thread, pynetdicom below. No SQL here."""
