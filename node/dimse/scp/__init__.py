"""The node as a provider of services (PS3.4)."""
