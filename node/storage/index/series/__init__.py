"""How far each series has come: states, revisions, history, expiry."""
