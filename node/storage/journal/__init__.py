"""The write-ahead journal: keeps what was answered 0x0000 on stable storage until ingested.

Answering an instance costs one write and one sync of a file that is there already. Its own file
and its rows in the index follow at once, by another process, without anybody waiting for them.
See `docs/adr/`.
"""

from node.storage.journal.cursor import Found
from node.storage.journal.entry import Ended, Entry, Source
from node.storage.journal.reading import Journal
from node.storage.journal.segment_pool import JournalFull
from node.storage.journal.writer import Draft, JournalWriter

__all__ = ["Draft", "Ended", "Entry", "Found", "Journal", "JournalFull", "JournalWriter", "Source"]
