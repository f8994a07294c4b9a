"""Looks after what is held: is every file still what was received or published."""
