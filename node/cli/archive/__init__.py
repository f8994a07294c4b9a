"""`import`, `reindex`, `backup`, `restore` and `verify`: commands on the archived files."""
