"""`status`, `ls`, `replay`, and what a person can do about one series."""
