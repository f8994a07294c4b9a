"""Errors, records, settings, logs, metrics and supervision for all rooms; imports no other room."""
