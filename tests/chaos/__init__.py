"""A running node whose threads and processes are killed, stopped or made to raise."""
