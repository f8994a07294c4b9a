"""The configuration: its keys, where their values come from, and what is wrong in them."""
