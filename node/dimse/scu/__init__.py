"""The node as a user of other nodes' services."""
