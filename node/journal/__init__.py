"""The write-ahead journal: what was answered 0x0000 is here, on stable storage, until it is filed.

Answering an instance costs one write and one sync of a file that is there already. Its own file
and its rows in the index follow at once, by another process, without anybody waiting for them.
See `docs/adr/`.
"""

from node.journal.cursor import Found
from node.journal.entry import Ended, Entry, Source
from node.journal.lane import Draft, Lane
from node.journal.reading import Journal
from node.journal.supply import JournalFull

__all__ = ["Draft", "Ended", "Entry", "Found", "Journal", "JournalFull", "Lane", "Source"]
