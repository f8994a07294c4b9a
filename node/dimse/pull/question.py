"""What a row of a list asks for: the keys of a study, and those of its series. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dsutils import encode

from node.core.query_keys import KEYS, Level
from node.dicom import scan
from node.dicom.matching.conditions import Condition, Items, Universal
from node.dicom.matching.key_conditions import Negotiated, condition_of
from node.dicom.matching.query import IdentifierError

COLUMNS: Final = (
    "PatientID",
    "AccessionNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyDate",
    "Modality",
    "SeriesDescription",
)
"""What a list may name."""
_SERIES: Final = frozenset(
    {"SeriesInstanceUID", "Modality", "SeriesDescription", "SeriesNumber", "ProtocolName"}
)
_UTF_8: Final = "ISO_IR 192"
_DATES: Final = re.compile(r"\d{8}(-(\d{8})?)?|-\d{8}", re.ASCII)  # PS3.4 C.2.2.2.5.1
_WITH_CASE: Final = frozenset({"UI", "DA", "TM", "DT", "IS", "DS"})


class BadKey(ValueError):
    """A key that cannot be asked for; the text says which and why."""


class Question(NamedTuple):
    """What a row asks for.

    Attributes:
        study: keys of patient and study, keyword -> value to match.
        series: keys that its series have to match; empty: all are wanted.
    """

    study: Mapping[str, str]
    series: Mapping[str, str]


def level_of(keyword: str) -> Level:
    """The level that an attribute belongs to.

    Raises:
        BadKey: there is no such keyword.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise BadKey(f"{keyword!r} is no DICOM keyword, such as StudyInstanceUID")
    if keyword in _SERIES:
        return Level.SERIES
    known = KEYS.get(tag)
    return known.level if known is not None else Level.STUDY


def question(keys: Mapping[str, str], series: Mapping[str, str]) -> Question:
    """Part the keys of a row by their level.

    Args:
        keys: of the row.
        series: what the series of every row have to match besides.

    Raises:
        BadKey: a key is not one of patient, study or series, its value cannot be matched, or
            nothing says which studies are wanted.
    """
    parts: dict[Level, dict[str, str]] = {level: {} for level in Level}
    for keyword, value in [*keys.items(), *series.items()]:
        if value:
            check_key(keyword, value)
            parts[level_of(keyword)][keyword] = value
    if parts[Level.IMAGE]:
        raise BadKey(f"{next(iter(parts[Level.IMAGE]))} is a key of instances; name the series")
    study = parts[Level.PATIENT] | parts[Level.STUDY]
    wanted = parts[Level.SERIES]
    named = any(value.strip("*? ") for value in study.values())
    if not named and not wanted.get("SeriesInstanceUID"):
        raise BadKey("nothing says which studies are wanted: this would ask for all of them")
    return Question(study, wanted)


def check_key(keyword: str, value: str) -> None:
    """See that a key can be asked for.

    Raises:
        BadKey: there is no such keyword, or the value cannot be matched.
    """
    level_of(keyword)
    try:
        _condition(keyword, value)
    except IdentifierError as error:
        raise BadKey(f"{value!r} cannot be matched as {keyword}: {error}") from error
    vr = _vr(keyword)
    parts = value.split("\\")
    if vr == "DA" and not all(_DATES.fullmatch(part) for part in parts):
        raise BadKey(f"{value!r} is neither a date (YYYYMMDD) nor a range, as {keyword} has to be")
    if vr == "UI" and not all(
        0 < len(part) <= 64 and set(part) <= set("0123456789.") for part in parts
    ):
        raise BadKey(f"{value!r} is no UID, as {keyword} has to be")


def matches(keys: Mapping[str, str], answered: Mapping[str, str]) -> bool:
    """Whether an answer is one to the question: peers may answer what nobody asked for.

    Text is compared without regard to case, as many archives do.

    Args:
        keys: keyword -> what was asked for.
        answered: keyword -> what the peer says, several values separated by backslashes.
    """
    return all(_holds(keyword, value, answered.get(keyword, "")) for keyword, value in keys.items())


def _holds(keyword: str, value: str, answered: str) -> bool:
    condition = _condition(keyword, value)
    if isinstance(condition, Universal | Items):
        return True
    said = [part.strip() for part in answered.split("\\")]
    if any(condition.holds(one) for one in said):
        return True
    if _vr(keyword) in _WITH_CASE:
        return False
    folded = _condition(keyword, value.casefold())
    return not isinstance(folded, Items) and any(folded.holds(one.casefold()) for one in said)


def _vr(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    return dictionary_VR(tag)[:2] if tag is not None else "UN"


def _condition(keyword: str, value: str) -> Condition:
    """What our own SCP would make of the key: one definition of matching for both sides."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise BadKey(f"{keyword!r} is no DICOM keyword, such as StudyInstanceUID")
    identifier = Dataset()
    identifier.SpecificCharacterSet = _UTF_8
    identifier[tag] = DataElement(tag, _vr(keyword), value, validation_mode=config.IGNORE)
    encoded = encode(identifier, False, True)
    elements = scan(bytes(encoded or b""), str(ExplicitVRLittleEndian)).elements
    return condition_of(elements, tag, _vr(keyword), Negotiated())
