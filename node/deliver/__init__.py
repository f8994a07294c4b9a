"""Deliveries of results: rules, payload, outbox, and the targets that they go to."""
