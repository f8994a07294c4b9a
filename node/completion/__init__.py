"""Is a series whole, and what follows? Pure: values and `now` in, verdicts with reasons out.

`docs/completion.md` has the table of the evidence and of how it is combined.
"""
