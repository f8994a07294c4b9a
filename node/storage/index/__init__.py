"""The index: what the archive holds, and how far each series has come. The only room with SQL."""
