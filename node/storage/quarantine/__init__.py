"""The quarantine: instances that could not be understood, with a limit for each sender."""

from node.storage.quarantine.files import Kind
from node.storage.quarantine.quarantine import Left, Quarantine

__all__ = ["Kind", "Left", "Quarantine"]
