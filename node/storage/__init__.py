"""Storage: the journal, the archive and the index, and what moves instances between them."""
