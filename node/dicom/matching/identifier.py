"""Read the identifier of a C-FIND, C-MOVE or C-GET request (PS3.4 C.4.1.1.3, C.4.2.1.4)."""

from __future__ import annotations

from dataclasses import dataclass

from node.core.errors import MalformedDataSet
from node.core.query_keys import KEYS, UNIQUE_KEY, Attribute, Level
from node.dicom import Elements, scan
from node.dicom.matching.conditions import Range, Universal
from node.dicom.matching.key_conditions import Negotiated, condition_of
from node.dicom.matching.query import (
    UNABLE_TO_PROCESS,
    Combined,
    IdentifierError,
    Key,
    Model,
    Query,
    Retrieve,
)

MAX_IDENTIFIER = 4 * 1024 * 1024  # bytes; some 60,000 UIDs

_CHARSET = 0x00080005
_LEVEL = 0x00080052
_PATIENT_ID = 0x00100020
_AVAILABILITY = 0x00080056
_NO_KEYS = frozenset({_CHARSET, _LEVEL, _AVAILABILITY, 0x00080054, 0x00080201})
"""Elements of an identifier that are no keys: character set, level, Retrieve AE Title, Instance
Availability and Timezone Offset From UTC (PS3.4 C.4.1.1.3.1)."""
_UNIQUE_TAGS = {a.tag: a for a in KEYS.values() if a.keyword in UNIQUE_KEY.values()}
_REQUIRED = frozenset(
    {
        "PatientName", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
        "Modality", "SeriesNumber", "InstanceNumber",
    }
)  # fmt: skip
"""Required Keys of both models (PS3.4 C.6.1.1, C.6.2.1)."""
_PAIRS = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("PatientBirthDate", "PatientBirthTime"),
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("InstanceCreationDate", "InstanceCreationTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
)


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier with its Query/Retrieve Level and character set."""

    elements: Elements
    level: Level
    charset: str


def read_identifier(encoded: bytes, transfer_syntax_uid: str, model: Model) -> Identifier:
    """Decode an identifier and read its Query/Retrieve Level.

    Args:
        encoded: the data set of the request.
        transfer_syntax_uid: of its presentation context.
        model: the information model.

    Raises:
        IdentifierError: it is no data set, or has no level of the model.
    """
    if not encoded:
        raise IdentifierError("The request has no identifier.", _LEVEL)
    if len(encoded) > MAX_IDENTIFIER:
        raise IdentifierError(f"The identifier has more than {MAX_IDENTIFIER} bytes.")
    try:
        elements = scan(encoded, transfer_syntax_uid).elements
    except MalformedDataSet as error:
        raise IdentifierError(str(error), status=UNABLE_TO_PROCESS) from error
    text = elements.text(_LEVEL) or ""
    level = next((level for level in model.levels if level == text), None)
    if level is None:
        known = ", ".join(model.levels)
        raise IdentifierError(f"Query/Retrieve Level has to be one of {known}.", _LEVEL)
    charset = elements.value(_CHARSET) or ""
    return Identifier(elements, level, charset)


def read_find(
    encoded: bytes,
    transfer_syntax_uid: str,
    model: Model,
    negotiated: Negotiated = Negotiated(),  # noqa: B008 - it is immutable
    *,
    empty_matches: bool = True,
) -> Query:
    """Read the identifier of a C-FIND request.

    Keys of a level above other than its unique key, which PS3.4 C.4.1.2.1 excludes from
    hierarchical queries, are matched and returned, as clients send them. Keys of a level below are
    not supported.

    Args:
        encoded: the data set of the request.
        transfer_syntax_uid: of its presentation context.
        model: the information model.
        negotiated: options of extended negotiation.
        empty_matches: an entity without a value for a required key matches every value.

    Raises:
        IdentifierError: the query cannot be answered.

    Examples:
        A query at study level for the studies of two modalities:

        >>> level = b"\\x08\\0\\x52\\0\\x06\\0\\0\\0STUDY "
        >>> date = b"\\x08\\0\\x20\\0\\x09\\0\\0\\0" + b"20260101-"
        >>> query = read_find(date + level, "1.2.840.10008.1.2", Model.STUDY)
        >>> [key.attribute.keyword for key in query.keys]
        ['StudyDate']
    """
    identifier = read_identifier(encoded, transfer_syntax_uid, model)
    level, elements = identifier.level, identifier.elements
    if not negotiated.relational:
        _require_unique_keys(elements, level, model)
    depth = list(Level).index(level)
    keys: list[Key] = []
    unsupported: list[int] = []
    for tag in sorted(elements):
        if tag & 0xFFFF == 0 or tag >> 16 < 8 or tag in _NO_KEYS:
            continue  # group lengths, and what no identifier has (PS3.4 C.4.1.1.3)
        attribute = KEYS.get(tag)
        if attribute is None or list(Level).index(attribute.level) > depth:
            unsupported.append(tag)
            continue
        condition = condition_of(elements, attribute.tag, attribute.vr, negotiated)
        required = empty_matches and is_required(attribute, model)
        keys.append(Key(attribute, condition, required))
    found, combined = _combine(keys) if negotiated.combined else (keys, [])
    return Query(
        model=model,
        level=level,
        keys=tuple(found),
        combined=tuple(combined),
        unsupported=tuple(unsupported),
        availability=_AVAILABILITY in elements,
        charset=identifier.charset,
    )


def read_retrieve(
    encoded: bytes, transfer_syntax_uid: str, model: Model, *, relational: bool = False
) -> Retrieve:
    """Read the identifier of a C-MOVE or C-GET request.

    Args:
        encoded: the data set of the request.
        transfer_syntax_uid: of its presentation context.
        model: the information model.
        relational: relational retrieval was negotiated.

    Raises:
        IdentifierError: a unique key is missing, empty, or not a single value where it must be.
    """
    identifier = read_identifier(encoded, transfer_syntax_uid, model)
    level, elements = identifier.level, identifier.elements
    if not relational:
        _require_unique_keys(elements, level, model)
    uids = []
    for one in model.levels[: model.levels.index(level) + 1]:
        attribute = _unique(one)
        values = _unique_values(elements, attribute)
        if one is level and not values:
            raise IdentifierError(
                f"{attribute.keyword} has to say what to retrieve (PS3.4 C.4.2.1.4.1).",
                attribute.tag,
            )
        if values:
            _refuse_wildcards(attribute, values)
            uids.append((one, values))
    return Retrieve(level, tuple(uids))


def _unique(level: Level) -> Attribute:
    keyword = UNIQUE_KEY[level]
    return next(a for a in _UNIQUE_TAGS.values() if a.keyword == keyword)


def _unique_values(elements: Elements, attribute: Attribute) -> tuple[str, ...]:
    return tuple(value for value in elements.texts(attribute.tag) if value)


def _require_unique_keys(elements: Elements, level: Level, model: Model) -> None:
    """Require a single value of each unique key above the level (PS3.4 C.4.1.2.1, C.4.2.2.1)."""
    for above in model.levels[: model.levels.index(level)]:
        attribute = _unique(above)
        values = _unique_values(elements, attribute)
        if len(values) != 1:
            raise IdentifierError(
                f"A query at {level} level needs one {attribute.keyword} "
                "unless relational queries were negotiated.",
                attribute.tag,
            )
        _refuse_wildcards(attribute, values)


def _refuse_wildcards(attribute: Attribute, values: tuple[str, ...]) -> None:
    if any("*" in value or "?" in value for value in values):
        raise IdentifierError(
            f"{attribute.keyword} has to be a single value here, without wildcards.", attribute.tag
        )


def is_required(attribute: Attribute, model: Model) -> bool:
    """Tell whether an attribute is a Required Key of a model (PS3.4 C.6.1.1, C.6.2.1).

    Args:
        attribute: the attribute.
        model: the information model.
    """
    if attribute.tag == _PATIENT_ID:
        return model is Model.STUDY  # in Patient Root it is the unique key
    return attribute.keyword in _REQUIRED


def _combine(keys: list[Key]) -> tuple[list[Key], list[Combined]]:
    by_keyword = {key.attribute.keyword: key for key in keys}
    combined = []
    for date_keyword, time_keyword in _PAIRS:
        date, time = by_keyword.get(date_keyword), by_keyword.get(time_keyword)
        if date is None or time is None:
            continue
        dates, times = date.condition, time.condition
        if not (isinstance(dates, Range) and isinstance(times, Range)):
            continue
        if len(dates.bounds) != 1 or len(times.bounds) != 1:
            continue
        if dates.bounds[0].form != times.bounds[0].form:
            continue
        combined.append(
            Combined(
                date.attribute, time.attribute, dates.bounds[0], times.bounds[0], date.required
            )
        )
        for key in (date, time):
            by_keyword[key.attribute.keyword] = Key(key.attribute, Universal(), key.required)
    return list(by_keyword.values()), combined
