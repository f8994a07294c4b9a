"""The machine: disk, sockets, processes, memory and clock."""
