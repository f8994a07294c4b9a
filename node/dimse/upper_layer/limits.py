"""Limits on what peers may send and occupy: bytes, time, and associations."""

from __future__ import annotations

from typing import Final

MAXIMUM_PDU: Final = 131072  # bytes; fewer, larger PDUs cost less than many small ones
PDU_SLACK: Final = 4096  # bytes; peers count headers differently
ASSOCIATE_PDU: Final = 1 << 20  # bytes of an A-ASSOCIATE-RQ; 128 contexts of 40 syntaxes are 360 kB
SHORT_PDU: Final = 64  # bytes of the PDUs that have a fixed, small size
COMMAND_SET: Final = 16384  # bytes; the largest real ones have a few hundred
MESSAGE: Final = 16 << 20  # bytes of a message other than C-STORE, held in memory
WAITING_MESSAGES: Final = 64  # requests of one association that have not been served yet

ARTIM_SECONDS: Final = 30.0  # from the connection to the whole A-ASSOCIATE-RQ (PS3.8 9.1.5)
UNUSED_SECONDS: Final = 30.0  # an association without any request is ended
IDLE_SECONDS: Final = 6 * 3600.0  # scanners keep one association open for a whole session
EVICT_SECONDS: Final = 1.0  # an association without any request may then be ended for a new one

DRAINED: Final = 1 << 20  # bytes that are read from a peer after the last PDU to it

HALF_OPEN: Final = 512  # connections without an association; beyond, the oldest is closed
BACKLOG: Final = 1024  # connections that the kernel accepts ahead


def of_one_address(all_together: int) -> int:
    """How many associations one address may have, so that other peers can associate, too."""
    return max(1, all_together * 3 // 4)
