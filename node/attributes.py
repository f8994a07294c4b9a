"""Which attributes the index keeps, on which level of the Query/Retrieve model (PS3.4 C.6).

One table for everybody: the receiver fills rows from it, C-FIND matches and answers from it, and
the Conformance Statement lists it.
"""

from __future__ import annotations

import unicodedata
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

UNIQUE_KEY: dict[Level, str] = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}


def fold(text: str) -> str:
    """The form in which person names are compared: no case, no accents (PS3.4 C.2.2.2.1).

    Letters such as ł and ø, which Unicode does not decompose, keep their own form.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", bare)
