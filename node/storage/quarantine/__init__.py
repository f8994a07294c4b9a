"""What could not be understood is kept for people to look at, within bounds for each sender."""

from node.storage.quarantine.files import Kind
from node.storage.quarantine.quarantine import Left, Quarantine

__all__ = ["Kind", "Left", "Quarantine"]
