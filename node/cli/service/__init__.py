"""`serve`, `check-config`, `conformance` and `passcode`: running and configuring the node."""
