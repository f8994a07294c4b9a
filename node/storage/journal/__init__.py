"""The write-ahead journal: what was answered 0x0000 is here, on stable storage, until it is filed.

Answering an instance costs one write and one sync of a file that is there already. Its own file
and its rows in the index follow at once, by another process, without anybody waiting for them.
See `docs/adr/`.
"""

from node.storage.journal.cursor import Found
from node.storage.journal.entry import Ended, Entry, Source
from node.storage.journal.lane import Draft, JournalWriter
from node.storage.journal.reading import Journal
from node.storage.journal.segment_pool import JournalFull

__all__ = ["Draft", "Ended", "Entry", "Found", "Journal", "JournalFull", "JournalWriter", "Source"]
