"""Which attributes the index keeps, on which level of the Query/Retrieve model (PS3.4 C.6).

One table for everybody: the receiver fills rows from it, C-FIND matches and answers from it, and
the Conformance Statement lists it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Level(StrEnum):
    """Query/Retrieve levels, top down (PS3.4 C.6.1.1)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


class Attribute(NamedTuple):
    """One attribute that the index keeps.

    Attributes:
        keyword: PS3.6 keyword, also the key in a row's `attributes`.
        tag: group and element as one number.
        vr: value representation of the standard (PS3.6).
        level: the level whose rows carry it.
    """

    keyword: str
    tag: int
    vr: str
    level: Level


_KEYWORDS: dict[Level, str] = {
    Level.PATIENT: """
        PatientID IssuerOfPatientID PatientName PatientBirthDate PatientBirthTime PatientSex
        OtherPatientIDs OtherPatientNames EthnicGroup PatientComments""",
    Level.STUDY: """
        StudyInstanceUID StudyDate StudyTime AccessionNumber StudyID StudyDescription
        ReferringPhysicianName NameOfPhysiciansReadingStudy PatientAge PatientSize PatientWeight
        AdmittingDiagnosesDescription ProcedureCodeSequence AdditionalPatientHistory
        Occupation""",
    Level.SERIES: """
        SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime
        BodyPartExamined ProtocolName Laterality PatientPosition OperatorsName
        PerformingPhysicianName Manufacturer ManufacturerModelName StationName InstitutionName
        InstitutionalDepartmentName FrameOfReferenceUID PerformedProcedureStepStartDate
        PerformedProcedureStepStartTime PerformedProcedureStepID
        PerformedProcedureStepDescription RequestAttributesSequence""",
    Level.IMAGE: """
        SOPInstanceUID SOPClassUID InstanceNumber ImageType ContentDate ContentTime
        AcquisitionDate AcquisitionTime AcquisitionDateTime AcquisitionNumber
        InstanceCreationDate InstanceCreationTime Rows Columns BitsAllocated BitsStored
        PhotometricInterpretation NumberOfFrames ImageComments ConceptNameCodeSequence
        VerificationFlag CompletionFlag""",
}


def _table() -> tuple[Attribute, ...]:
    rows = []
    for level, words in _KEYWORDS.items():
        for keyword in words.split():
            tag = tag_for_keyword(keyword)
            if tag is None:
                raise LookupError(f"{keyword} is not in the data dictionary")
            rows.append(Attribute(keyword, int(tag), dictionary_VR(tag), level))
    return tuple(rows)


ATTRIBUTES: tuple[Attribute, ...] = _table()
BY_TAG: dict[int, Attribute] = {attribute.tag: attribute for attribute in ATTRIBUTES}
BY_KEYWORD: dict[str, Attribute] = {attribute.keyword: attribute for attribute in ATTRIBUTES}
BY_LEVEL: dict[Level, tuple[Attribute, ...]] = {
    level: tuple(attribute for attribute in ATTRIBUTES if attribute.level is level)
    for level in Level
}

DERIVED: tuple[Attribute, ...] = tuple(
    Attribute(keyword, int(tag_for_keyword(keyword) or 0), vr, level)
    for level, keyword, vr in (
        (Level.PATIENT, "NumberOfPatientRelatedStudies", "IS"),
        (Level.PATIENT, "NumberOfPatientRelatedSeries", "IS"),
        (Level.PATIENT, "NumberOfPatientRelatedInstances", "IS"),
        (Level.STUDY, "ModalitiesInStudy", "CS"),
        (Level.STUDY, "SOPClassesInStudy", "UI"),
        (Level.STUDY, "NumberOfStudyRelatedSeries", "IS"),
        (Level.STUDY, "NumberOfStudyRelatedInstances", "IS"),
        (Level.SERIES, "NumberOfSeriesRelatedInstances", "IS"),
    )
)
"""What the index keeps up to date itself, and no instance carries (PS3.4 C.3.4)."""

KEYS: dict[int, Attribute] = BY_TAG | {attribute.tag: attribute for attribute in DERIVED}
"""Every attribute that a query can match and get back, by its tag."""

UNIQUE_KEY: dict[Level, str] = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}


_LETTERS_OF_THEIR_OWN = frozenset({7, 8, 9})
"""Combining classes of nuktas, kana voicing marks and viramas: they make other letters."""


def fold(text: str) -> str:
    """The form in which person names are compared: no case, no accents (PS3.4 C.2.2.2.1).

    Letters such as ł and ø, which Unicode does not decompose, keep their own form.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(
        char
        for char in decomposed
        if unicodedata.combining(char) in _LETTERS_OF_THEIR_OWN or not unicodedata.combining(char)
    )
    return unicodedata.normalize("NFC", bare)


def caseless(text: str) -> str:
    """The form in which names are compared with regard to accents."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def name_groups(name: str, form: Callable[[str], str] = fold) -> tuple[str, str, str]:
    """A person name's alphabetic, ideographic and phonetic group, as they are compared.

    Padding around components and empty components at the end do not count (PS3.5 6.2).
    """
    groups = [trimmed_components(group) for group in name.split("=", 2)]
    first, second, third = (form(group) for group in [*groups, "", ""][:3])
    return first, second, third


def trimmed_components(group: str) -> str:
    """A component group without padding and without empty components at its end."""
    return "^".join(part.strip() for part in group.split("^")).rstrip("^")
