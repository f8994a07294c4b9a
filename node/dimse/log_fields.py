"""What log records of the DICOM services say about an association (`node.core.logs.FIELDS`)."""

from __future__ import annotations

from typing import Final

from pynetdicom.association import Association

_AE_TITLE: Final = 16  # characters (PS3.5 Table 6.2-1)


def printable(text: str, most: int = _AE_TITLE) -> str:
    """Text of a peer, fit for one line of a log: anyone can send any AE title.

    Args:
        text: as the peer sent it.
        most: characters that are kept.
    """
    return "".join(char if char.isprintable() else "?" for char in text.strip())[:most]


def log_fields(association: Association) -> dict[str, str]:
    """The `extra` of a log record about an association: its number and the peer's AE title."""
    fields = {"peer": printable(str(association.requestor.ae_title))}
    number = getattr(association, "number", "")
    return fields | {"association": number} if number else fields
