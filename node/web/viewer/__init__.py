"""The viewer: slices of published volumes, read and drawn by a process of their own."""
