"""The C-FIND keys: which attributes the index keeps, by Query/Retrieve level (PS3.4 C.6).

The receiver fills the index from this table, C-FIND matches and answers from it, and the
Conformance Statement lists it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple


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


_INDEXED: Final[dict[Level, str]] = {
    Level.PATIENT: """
        PatientID 00100020 LO
        IssuerOfPatientID 00100021 LO
        PatientName 00100010 PN
        PatientBirthDate 00100030 DA
        PatientBirthTime 00100032 TM
        PatientSex 00100040 CS
        OtherPatientIDs 00101000 LO
        OtherPatientNames 00101001 PN
        EthnicGroup 00102160 SH
        PatientComments 00104000 LT""",
    Level.STUDY: """
        StudyInstanceUID 0020000D UI
        StudyDate 00080020 DA
        StudyTime 00080030 TM
        AccessionNumber 00080050 SH
        StudyID 00200010 SH
        StudyDescription 00081030 LO
        ReferringPhysicianName 00080090 PN
        NameOfPhysiciansReadingStudy 00081060 PN
        PatientAge 00101010 AS
        PatientSize 00101020 DS
        PatientWeight 00101030 DS
        AdmittingDiagnosesDescription 00081080 LO
        ProcedureCodeSequence 00081032 SQ
        AdditionalPatientHistory 001021B0 LT
        Occupation 00102180 SH""",
    Level.SERIES: """
        SeriesInstanceUID 0020000E UI
        Modality 00080060 CS
        SeriesNumber 00200011 IS
        SeriesDescription 0008103E LO
        SeriesDate 00080021 DA
        SeriesTime 00080031 TM
        BodyPartExamined 00180015 CS
        ProtocolName 00181030 LO
        Laterality 00200060 CS
        PatientPosition 00185100 CS
        OperatorsName 00081070 PN
        PerformingPhysicianName 00081050 PN
        Manufacturer 00080070 LO
        ManufacturerModelName 00081090 LO
        StationName 00081010 SH
        InstitutionName 00080080 LO
        InstitutionalDepartmentName 00081040 LO
        FrameOfReferenceUID 00200052 UI
        PerformedProcedureStepStartDate 00400244 DA
        PerformedProcedureStepStartTime 00400245 TM
        PerformedProcedureStepID 00400253 SH
        PerformedProcedureStepDescription 00400254 LO
        RequestAttributesSequence 00400275 SQ""",
    Level.IMAGE: """
        SOPInstanceUID 00080018 UI
        SOPClassUID 00080016 UI
        InstanceNumber 00200013 IS
        ImageType 00080008 CS
        ContentDate 00080023 DA
        ContentTime 00080033 TM
        AcquisitionDate 00080022 DA
        AcquisitionTime 00080032 TM
        AcquisitionDateTime 0008002A DT
        AcquisitionNumber 00200012 IS
        InstanceCreationDate 00080012 DA
        InstanceCreationTime 00080013 TM
        Rows 00280010 US
        Columns 00280011 US
        BitsAllocated 00280100 US
        BitsStored 00280101 US
        PhotometricInterpretation 00280004 CS
        NumberOfFrames 00280008 IS
        ImageComments 00204000 LT
        ConceptNameCodeSequence 0040A043 SQ
        VerificationFlag 0040A493 CS
        CompletionFlag 0040A491 CS""",
}
"""Keyword, tag and VR (PS3.6) of the attributes of each level. To add a C-FIND key, add a line;
`rasnode reindex` then adds it for instances that are archived already."""


def _attributes(rows: dict[Level, str]) -> tuple[Attribute, ...]:
    return tuple(
        Attribute(keyword, int(tag, 16), vr, level)
        for level, lines in rows.items()
        for keyword, tag, vr in map(str.split, lines.strip().splitlines())
    )


ATTRIBUTES: tuple[Attribute, ...] = _attributes(_INDEXED)
BY_TAG: dict[int, Attribute] = {attribute.tag: attribute for attribute in ATTRIBUTES}
BY_KEYWORD: dict[str, Attribute] = {attribute.keyword: attribute for attribute in ATTRIBUTES}
BY_LEVEL: dict[Level, tuple[Attribute, ...]] = {
    level: tuple(attribute for attribute in ATTRIBUTES if attribute.level is level)
    for level in Level
}

DERIVED: tuple[Attribute, ...] = _attributes(
    {
        Level.PATIENT: """
            NumberOfPatientRelatedStudies 00201200 IS
            NumberOfPatientRelatedSeries 00201202 IS
            NumberOfPatientRelatedInstances 00201204 IS""",
        Level.STUDY: """
            ModalitiesInStudy 00080061 CS
            SOPClassesInStudy 00080062 UI
            NumberOfStudyRelatedSeries 00201206 IS
            NumberOfStudyRelatedInstances 00201208 IS""",
        Level.SERIES: """
            NumberOfSeriesRelatedInstances 00201209 IS""",
    }
)
"""Attributes that the index computes and no instance has (PS3.4 C.3.4)."""

KEYS: dict[int, Attribute] = BY_TAG | {attribute.tag: attribute for attribute in DERIVED}
"""Every attribute that a query can match and return, by tag."""

UNIQUE_KEY: dict[Level, str] = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}


_LETTERS_OF_THEIR_OWN = frozenset({7, 8, 9})
"""Combining classes of nuktas, kana voicing marks and viramas, which make other letters."""


def fold(text: str) -> str:
    """Return text without case and accents, for comparing person names (PS3.4 C.2.2.2.1).

    Letters such as ł and ø, which Unicode does not decompose, stay as they are.

    Examples:
        >>> fold("Müller")
        'muller'
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
    """Return text without case, for comparing names with regard to accents."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def name_groups(name: str, form: Callable[[str], str] = fold) -> tuple[str, str, str]:
    """Return the alphabetic, ideographic and phonetic group of a person name (PS3.5 6.2.1).

    Padding around components and empty components at the end are removed.

    Args:
        name: value of VR PN.
        form: `fold` or `caseless`, applied to each group.

    Examples:
        >>> name_groups("Doe^John^^")
        ('doe^john', '', '')
    """
    groups = [trimmed_components(group) for group in name.split("=", 2)]
    first, second, third = (form(group) for group in [*groups, "", ""][:3])
    return first, second, third


def trimmed_components(group: str) -> str:
    """Return a component group without padding and without empty components at its end."""
    return "^".join(part.strip() for part in group.split("^")).rstrip("^")
