"""The data dictionary (PS3.6), loaded when it is first asked.

Importing pydicom takes as long as a whole small command, and most of those never ask.
"""

from __future__ import annotations


def vr_of(tag: int) -> str:
    """Return the VR of a standard attribute, such as "US or SS".

    Raises:
        KeyError: PS3.6 does not have the tag.
    """
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415

    return dictionary_VR(tag)


def private_vr_of(tag: int, creator: str) -> str:
    """Return the VR of a private attribute.

    Args:
        tag: group and element.
        creator: Private Creator of its block.

    Raises:
        KeyError: it is not known.
    """
    from pydicom.datadict import private_dictionary_VR  # noqa: PLC0415

    return private_dictionary_VR(tag, creator)


def vm_of(tag: int) -> str:
    """Return the VM of a standard attribute, such as "1-n".

    Raises:
        KeyError: PS3.6 does not have the tag.
    """
    from pydicom.datadict import dictionary_VM  # noqa: PLC0415

    return dictionary_VM(tag)


def tag_of(keyword: str) -> int | None:
    """Return the tag of a keyword; None if PS3.6 does not have it."""
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415

    return tag_for_keyword(keyword)


def keyword_of(tag: int) -> str:
    """Return the keyword of a standard attribute; empty if PS3.6 does not have the tag."""
    from pydicom.datadict import keyword_for_tag  # noqa: PLC0415

    return keyword_for_tag(tag)
