"""Takes out of a text what says who the patient of a series is. Pure."""

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
_FREE_TEXT: Final = 4  # characters from which on a value is looked for within words, too


def redacted(text: str, attributes: Mapping[str, Any]) -> str:
    """The text without names, identifiers and dates of birth.

    Args:
        attributes: what the index keeps of the series, its study and its patient, by keyword.
    """
    wanted = {part for keyword in _KEYWORDS for part in _parts(keyword, attributes.get(keyword))}
    for part in sorted(wanted, key=len, reverse=True):
        pattern = re.escape(part)
        if len(part) < _FREE_TEXT:  # as a word of its own; `_` parts words in names of files
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
