"""Identifiers of C-FIND, C-MOVE and C-GET requests as bytes (PS3.4 C.4.1.1.3, C.4.2.1.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from node.core.query_keys import Level


def encode_identifier(level: Level, keys: Mapping[str, str], transfer_syntax_uid: str) -> bytes:
    """Write the level and the keys.

    Args:
        level: Query/Retrieve Level.
        keys: keyword -> value, several values separated by backslashes; empty: the key has none.
        transfer_syntax_uid: Implicit or Explicit VR Little Endian.

    Raises:
        ValueError: a keyword is not in PS3.6, or a value cannot be written.
    """
    identifier = Dataset()
    if charset := charset_for(keys.values()):
        identifier.SpecificCharacterSet = charset
    identifier.QueryRetrieveLevel = str(level)
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise ValueError(f"{keyword} is no DICOM keyword")
        identifier[tag] = DataElement(
            tag, dictionary_VR(tag)[:2], value or None, validation_mode=config.IGNORE
        )
    encoded = encode(identifier, UID(transfer_syntax_uid).is_implicit_VR, True)
    if encoded is None:
        raise ValueError("the keys cannot be written as a DICOM identifier")
    return bytes(encoded)


def charset_for(values: Iterable[str]) -> str:
    """The simplest character set that can say all values (PS3.3 C.12.1.1.2); empty: ASCII."""
    whole = "".join(values)
    for charset, codec in (("", "ascii"), ("ISO_IR 100", "latin-1"), ("ISO_IR 192", "utf-8")):
        try:
            whole.encode(codec)
        except UnicodeEncodeError:
            continue
        return charset
    raise ValueError("the keys hold characters that no character set has")
