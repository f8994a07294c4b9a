"""The running node: what it is built from, its processes, and the ports it listens on."""
