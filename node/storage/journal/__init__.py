"""The write-ahead journal: keeps instances that were answered 0x0000 until they are ingested.

Before the answer, an instance takes one write and one sync of a preallocated file. The ingester,
another process, then writes its archive file and its rows in the index; no sender waits for that.
See `docs/adr/`.
"""

from node.storage.journal.journal import Journal
from node.storage.journal.partition_reader import JournalRecord
from node.storage.journal.record_format import AssociationEnded, Entry, Source
from node.storage.journal.segment_pool import JournalFull
from node.storage.journal.writer import Draft, JournalWriter

__all__ = [
    "AssociationEnded",
    "Draft",
    "Entry",
    "Journal",
    "JournalFull",
    "JournalRecord",
    "JournalWriter",
    "Source",
]
