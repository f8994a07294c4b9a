"""Processes that assemble series, and the watch over them."""
