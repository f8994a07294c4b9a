"""Fetching studies from peers."""
