"""Commands that ask other nodes: `find`, `pull`, `pulls`."""
