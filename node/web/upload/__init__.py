"""Uploads: forms that are read part by part, and what is done with their files."""
