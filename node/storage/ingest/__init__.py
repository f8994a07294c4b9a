"""Ingest: from the journal into the archive and the index, after the sender was answered.

It runs as a process of its own (`node.storage.ingest.process`), so that reading headers takes no
time from receiving. After an unclean end the node ingests in its own process before it starts.
"""
