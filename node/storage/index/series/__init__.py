"""The series in the index: states, revisions, history, conflicts, damage, retention."""
