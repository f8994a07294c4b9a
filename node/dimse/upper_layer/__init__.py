"""Associations: PDUs, connections, TLS, and which peers may associate (PS3.8)."""
