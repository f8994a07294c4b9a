"""What the machine has and does: disk, sockets, processes, clock."""
