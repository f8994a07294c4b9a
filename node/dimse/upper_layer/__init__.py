"""Associations: PDUs, connections, TLS, and who may associate (PS3.8)."""
