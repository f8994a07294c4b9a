"""Backup and restore: a copy of what the node cannot make again.

A backup is a folder: `archive/`, `quarantine/`, `nifti/` and `identity` as below `storage.root`,
the index as one SQLite file, where needed the journal, and `backup.json`, which is written last
and lists all other files with their hashes. Without it the backup is not complete.
"""
