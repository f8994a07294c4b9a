"""Compressed frames, decoded in processes of their own.

Codecs are large programs in C that read what strangers sent: some abort the process that they run
in over damaged data, some ask for memory without end. What dies, hangs or grows then is a child,
and the frame is refused by name.
"""

from node.convert.decoding.pool import close, decode_apart, prepare, prepare_copy

__all__ = ["close", "decode_apart", "prepare", "prepare_copy"]
