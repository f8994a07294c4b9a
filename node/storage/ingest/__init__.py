"""From the journal into the archive and the index, behind the senders' backs.

A process of its own (`node.storage.ingest.process`), so that reading headers never takes time from
receiving; and at the start, after an unclean end, the same code in the node's own process.
"""
