"""What could not be understood is kept for people to look at, within bounds for each sender."""

from node.quarantine.files import Kind
from node.quarantine.keeping import Left, Quarantine

__all__ = ["Kind", "Left", "Quarantine"]
