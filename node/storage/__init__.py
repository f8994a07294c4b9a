"""What is held: journal, archive, index, and what moves instances between them."""
