"""Decides whether a series is complete. Pure: facts and the time in, verdicts with reasons out.

`docs/completion.md` has the table of the evidence and of how it is combined.
"""
