"""The index: what the archive holds, and the state of each series. The only place with SQL."""
