"""The DIMSE statuses that the node answers and understands (PS3.7 Annex C, PS3.4).

Where the standard gives one number two names, it has one name here for each.
"""

from __future__ import annotations

from typing import Final

SUCCESS: Final = 0x0000
CANCEL: Final = 0xFE00
"""Ended by C-CANCEL."""
PENDING: Final = 0xFF00
"""A match, or counts; more responses follow."""
PENDING_WITH_UNSUPPORTED_KEYS: Final = 0xFF01
"""PS3.4 Table C.4-1: a match; some optional keys were not supported."""

OUT_OF_RESOURCES: Final = 0xA700
"""PS3.4 Tables B.2-1, C.4-1: disk or quota full, index away; the same request may succeed later."""
UNABLE_TO_PERFORM_SUBOPERATIONS: Final = 0xA702
"""PS3.4 Tables C.4-2, C.4-3."""
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
"""PS3.4 Table C.4-2."""
DATA_SET_MISMATCH: Final = 0xA900
"""PS3.4 Table B.2-1: data set and command disagree on SOP Class or SOP Instance."""
IDENTIFIER_MISMATCH: Final = 0xA900
"""PS3.4 Tables C.4-1 to C.4-3: the identifier does not fit the SOP Class."""
SOME_SUBOPERATIONS_FAILED: Final = 0xB000
"""PS3.4 Tables C.4-2, C.4-3: complete, with failures or warnings."""
CANNOT_UNDERSTAND: Final = 0xC000
"""PS3.4 Table B.2-1: the data set cannot be read."""
UNABLE_TO_PROCESS: Final = 0xC000
"""PS3.4 Tables C.4-1 to C.4-3."""

INVALID_ATTRIBUTE_VALUE: Final = 0x0106
PROCESSING_FAILURE: Final = 0x0110
"""Also a Failure Reason (PS3.3 C.14.1.1)."""
DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
"""Also a Failure Reason (PS3.3 C.14.1.1)."""
INVALID_ARGUMENT: Final = 0x0115
CLASS_INSTANCE_CONFLICT: Final = 0x0119
"""Also a Failure Reason (PS3.3 C.14.1.1)."""
MISSING_ATTRIBUTE: Final = 0x0120
NO_SUCH_ACTION: Final = 0x0123
NOT_AUTHORIZED: Final = 0x0124

STEP_MAY_NOT_CHANGE: Final = 0xA710
"""PS3.4 F.7.2.2.3: an Error ID, not a status; the procedure step has ended."""

_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})  # PS3.7 Annex C
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)  # PS3.4 Table B.2-1: every value of the range
_WARNING_RANGE: Final = range(0xB000, 0xC000)  # PS3.7 Annex C


def is_pending(status: int | None) -> bool:
    """Whether more responses to the same request follow."""
    return status in {PENDING, PENDING_WITH_UNSUPPORTED_KEYS}


def is_warning(status: int) -> bool:
    """Whether the request was performed, but something was changed or is in doubt."""
    return status in _WARNING_RANGE or status in _WARNINGS


def is_out_of_resources(status: int) -> bool:
    """Whether a C-STORE was refused for lack of resources, so that it may succeed later."""
    return status in _OUT_OF_RESOURCES


def shown(status: int | None) -> str:
    """A status as it stands in logs and messages; None: the response had none."""
    return "no status" if status is None else f"0x{status:04X}"
