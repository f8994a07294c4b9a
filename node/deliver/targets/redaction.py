"""Removes from a text what identifies the patient of a series. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

REMOVED: Final = "[removed]"
_KEYWORDS: Final = (
    "PatientName", "OtherPatientNames", "PatientID", "OtherPatientIDs", "PatientBirthDate",
    "PatientComments", "AdditionalPatientHistory", "AccessionNumber", "ReferringPhysicianName",
    "NameOfPhysiciansReadingStudy", "OperatorsName", "PerformingPhysicianName",
)  # fmt: skip
_BIRTH: Final = re.compile(r"(\d{4})(\d\d)(\d\d)")
_FREE_TEXT: Final = 4  # characters; values of this length or more are found within words, too


def redacted(text: str, attributes: Mapping[str, Any]) -> str:
    """The text without names, identifiers and dates of birth.

    Args:
        text: what a program wrote.
        attributes: what the index holds of the series, its study and its patient, by keyword.

    Returns:
        the text with `REMOVED` in place of each of them.
    """
    wanted = {part for keyword in _KEYWORDS for part in _parts(keyword, attributes.get(keyword))}
    for part in sorted(wanted, key=len, reverse=True):
        pattern = re.escape(part)
        if len(part) < _FREE_TEXT:  # as a word of its own; in file names `_` separates words
            pattern = rf"(?<![^\W_]){pattern}(?![^\W_])"
        text = re.sub(pattern, REMOVED, text, flags=re.IGNORECASE)
    return text


def _parts(keyword: str, value: Any) -> Iterator[str]:
    """The forms in which a value may be written."""
    values = value if isinstance(value, list | tuple) else [value]
    for one in (str(each) for each in values if each is not None):
        yield from {one.strip()} - {""}
        if keyword == "PatientBirthDate" and (date := _BIRTH.fullmatch(one.strip())):
            year, month, day = date.groups()
            for mark in "-./":
                yield from (mark.join(order) for order in (
                    (year, month, day), (day, month, year), (month, day, year)
                ))  # fmt: skip
        elif "Name" in keyword:
            yield from (part for part in re.split(r"[\W_]+", one) if len(part) > 1)
