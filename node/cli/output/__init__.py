"""Shared by the commands: lines, tables and progress bars on a terminal."""
