"""Decode compressed frames in child processes.

Codecs are large programs in C that read untrusted data. On damaged data some abort the process that
they run in, and some allocate memory without limit. A child process then ends in place of the node,
and the frame is refused by name.
"""

from node.convert.decoding.pool import close, decode_apart, prepare, prepare_copy

__all__ = ["close", "decode_apart", "prepare", "prepare_copy"]
