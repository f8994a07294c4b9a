"""Results on their way out: files that appear whole, and news that arrive at least once."""
