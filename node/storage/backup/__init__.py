"""Backup and restore: a copy of what cannot be made again, and a node from it.

A backup is a folder: `archive/`, `quarantine/`, `nifti/` and `identity` as below `storage.root`,
the index as one SQLite file, where needed the journal, and `backup.json`, which is written last
and says which files the others have to be. Without it, or if they are not, it is no backup.
"""
