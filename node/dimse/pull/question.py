"""What a row of a list asks for: the keys of a study, and those of its series. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from node.core.query_keys import KEYS, Level
from node.dicom import scan
from node.dicom.dictionary import tag_of, vr_of
from node.dicom.matching.conditions import Condition, Items, Universal
from node.dicom.matching.key_conditions import Negotiated, condition_of
from node.dicom.matching.query import IdentifierError
from node.dicom.scanner import EXPLICIT_LITTLE

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
_KNOWN: Final = {one.keyword: one for one in KEYS.values()}


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
    if keyword in _SERIES:
        return Level.SERIES
    if keyword in _KNOWN:
        return _KNOWN[keyword].level
    _tag(keyword)
    return Level.STUDY


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
    vr = _vr(keyword)
    parts = value.split("\\")
    if vr == "UI":  # most keys of a list, and pydicom is not loaded for them
        if not all(0 < len(part) <= 64 and set(part) <= set("0123456789.") for part in parts):
            raise BadKey(f"{value!r} is no UID, as {keyword} has to be")
        return
    try:
        _condition(keyword, value)
    except IdentifierError as error:
        raise BadKey(f"{value!r} cannot be matched as {keyword}: {error}") from error
    if vr == "DA" and not all(_DATES.fullmatch(part) for part in parts):
        raise BadKey(f"{value!r} is neither a date (YYYYMMDD) nor a range, as {keyword} has to be")


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
    known = _KNOWN.get(keyword)
    return known.vr if known is not None else vr_of(_tag(keyword))[:2]


def _tag(keyword: str) -> int:
    known = _KNOWN.get(keyword)
    tag = known.tag if known is not None else tag_of(keyword)
    if tag is None:
        raise BadKey(f"{keyword!r} is no DICOM keyword, such as StudyInstanceUID")
    return tag


def _condition(keyword: str, value: str) -> Condition:
    """What our own SCP would make of the key: one definition of matching for both sides."""
    # A command whose keys are UIDs does not need it, and would take twice the time to start.
    from pydicom import config  # noqa: PLC0415
    from pydicom.dataelem import DataElement  # noqa: PLC0415
    from pydicom.dataset import Dataset  # noqa: PLC0415
    from pynetdicom.dsutils import encode  # noqa: PLC0415

    tag, vr = _tag(keyword), _vr(keyword)
    identifier = Dataset()
    identifier.SpecificCharacterSet = _UTF_8
    identifier[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)
    encoded = encode(identifier, False, True)
    elements = scan(bytes(encoded or b""), EXPLICIT_LITTLE).elements
    return condition_of(elements, tag, vr, Negotiated())
