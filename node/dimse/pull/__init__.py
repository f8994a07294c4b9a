"""Fetching studies from peers: jobs of the index, done until the archive proves them complete."""
