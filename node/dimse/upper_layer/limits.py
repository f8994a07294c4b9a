"""How much a peer may ask of the node: bytes, time, and associations."""

from __future__ import annotations

from typing import Final

MAXIMUM_PDU: Final = 131072  # bytes; fewer, larger PDUs cost less than many small ones
PDU_SLACK: Final = 4096  # bytes; peers count headers differently
ASSOCIATE_PDU: Final = 1 << 20  # bytes of an A-ASSOCIATE-RQ; 128 contexts of 40 syntaxes are 360 kB
SHORT_PDU: Final = 64  # bytes of the PDUs that have a fixed, small size
COMMAND_SET: Final = 16384  # bytes; the largest real ones have a few hundred
MESSAGE: Final = 16 << 20  # bytes of a message other than C-STORE, held in memory
WAITING_MESSAGES: Final = 64  # requests of one association that nobody has served yet

ARTIM_SECONDS: Final = 30.0  # from the connection to the whole A-ASSOCIATE-RQ (PS3.8 9.1.5)
UNUSED_SECONDS: Final = 30.0  # an association that asks for nothing is ended
IDLE_SECONDS: Final = 6 * 3600.0  # scanners keep one association open for a whole session
EVICT_SECONDS: Final = 1.0  # an unused association may be ended for a newcomer after so long

DRAINED: Final = 1 << 20  # bytes of a peer that goes on after it was told to stop

HALF_OPEN: Final = 512  # connections without an association; beyond, the oldest one goes
BACKLOG: Final = 1024  # connections that the kernel holds for us


def of_one_address(all_together: int) -> int:
    """How many of all associations one address may have, so that others still get in."""
    return max(1, all_together * 3 // 4)
