"""Studies: their state, what peers say of their series, and what was told of them."""
