"""What a result keeps of its source: patient, study and equipment; and stand-ins for its frames.

highdicom reads where its sources lie from their data sets, and knows neither mosaics nor frames
whose directions are given one by one. So it gets one small single-frame data set for each source
slice, and the references that it writes are then turned into those of the real instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Final

from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat, format_number_as_ds

from node.convert.results.codes import Code
from node.convert.results.grid import SourceFrame, SourceGrid
from node.convert.results.options import DEFAULT_NUMBER, ResultOptions
from node.core.version import VERSION
from node.dicom.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MANUFACTURER: Final = "rasnode"
LONGEST: Final = 64
"""Characters of VR LO."""
UTF8: Final = "ISO_IR 192"
"""What results are written in: names of labels may have letters that the source's set has not."""
SOURCE_IMAGE: Final = Code("121322", "DCM", "Source image for image processing operation")
"""CID 7202: the purpose of a reference to what a result was derived from."""
_PATIENT: Final = (
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID", "OtherPatientIDsSequence", "PatientBirthDate", "PatientBirthTime",
    "PatientSex", "OtherPatientNames", "EthnicGroup", "PatientComments", "QualityControlSubject",
    "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription",
    "PatientBreedCodeSequence", "BreedRegistrationSequence", "ResponsiblePerson",
    "ResponsiblePersonRole", "ResponsibleOrganization", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)  # fmt: skip
"""Patient and Clinical Trial Subject (PS3.3 C.7.1.1, C.7.1.3)."""
_STUDY: Final = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence", "StudyID", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "StudyDescription", "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "ReferencedStudySequence", "ProcedureCodeSequence", "RequestingService",
    "ReasonForPerformedProcedureCodeSequence", "ConsultingPhysicianName",
    "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge",
    "PatientSize", "PatientWeight", "PatientBodyMassIndex", "PregnancyStatus", "Occupation",
    "AdditionalPatientHistory", "AdmissionID", "PatientState", "MedicalAlerts", "Allergies",
    "SmokingStatus", "LastMenstrualDate", "PatientSexNeutered",
    "ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription",
)  # fmt: skip
"""General Study, Patient Study and Clinical Trial Study (PS3.3 C.7.2)."""
_TYPE_2: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
"""Of those, the ones that every object has, empty if need be."""
_SERIES: Final = ("BodyPartExamined", "Laterality", "PatientPosition")
"""Of the series: true of whatever lies on its slices."""
_EQUIPMENT: Final = (
    "Manufacturer", "InstitutionName", "InstitutionAddress", "StationName",
    "InstitutionalDepartmentName", "ManufacturerModelName", "DeviceSerialNumber",
    "SoftwareVersions",
)  # fmt: skip


def keep_identity(result: Dataset, source: Dataset, *, series: bool = True) -> None:
    """Give an object the patient and study of its source, value by value as they are there.

    Args:
        result: is changed.
        source: the data set of an instance of the source series.
        series: keep what the series says of the body, too.
    """
    for keyword in (*_PATIENT, *_STUDY, *(_SERIES if series else ())):
        tag = tag_for_keyword(keyword)
        assert tag is not None  # noqa: S101
        if tag in source:
            result[tag] = _rewritten(source, tag)
        elif tag in result:
            del result[tag]
    for keyword in _TYPE_2:
        if keyword not in result:
            setattr(result, keyword, None)
    result.SpecificCharacterSet = UTF8


def _rewritten(source: Dataset, tag: int) -> DataElement:
    """Return an element that is written in the result's character set, whatever it was read in."""
    element = deepcopy(source[tag])
    if element.VR == "PN" and element.value:
        values = element.value if element.VM > 1 else [element.value]
        element.value = [str(value) for value in values] if element.VM > 1 else str(values[0])
    if element.VR == "SQ":
        for item in element.value:
            for inner in list(item):
                item[inner.tag] = _rewritten(item, inner.tag)
            item.pop("SpecificCharacterSet", None)
    return element


def describe(
    result: Dataset, source: Dataset, options: ResultOptions, kind: str, modality: str
) -> None:
    """Fill in what every result says of its series, its maker and its date.

    Args:
        result: is changed.
        source: the data set of an instance of the source series.
        options: what the caller says.
        kind: what it is, for Series Description, such as `Segmentation`.
        modality: of the result.
    """
    keep_identity(result, source)
    result.Modality = modality
    result.SeriesInstanceUID = options.uid("series")
    result.SeriesNumber = series_number(source, options)
    result.SeriesDescription = series_description(source, options, kind)
    result.Manufacturer = MANUFACTURER
    result.ManufacturerModelName = MANUFACTURER
    result.SoftwareVersions = VERSION
    result.DeviceSerialNumber = MANUFACTURER
    date, time = options.made_at.strftime("%Y%m%d"), options.made_at.strftime("%H%M%S")
    for name in ("InstanceCreation", "Content", "Series"):
        setattr(result, f"{name}Date", date)
        setattr(result, f"{name}Time", time)
    if options.made_at.tzinfo is not None and "TimezoneOffsetFromUTC" in source:
        result.TimezoneOffsetFromUTC = source.TimezoneOffsetFromUTC
    result.ContributingEquipmentSequence = Items([_acquired_by(source)])


def series_number(source: Dataset, options: ResultOptions) -> int:
    """Return the Series Number of a result."""
    if options.series_number is not None:
        return options.series_number
    number = source.get("SeriesNumber")
    return DEFAULT_NUMBER + (int(number) if isinstance(number, int) else 0)


def series_description(source: Dataset, options: ResultOptions, kind: str) -> str:
    """Return the Series Description of a result."""
    if options.description:
        return options.description
    name = str(source.get("SeriesDescription", "") or "")
    return (f"{kind} of {name}" if name else kind)[:LONGEST]


def _acquired_by(source: Dataset) -> Dataset:
    """Return the Contributing Equipment item of what acquired the source (PS3.3 C.12.1.1.5)."""
    item = Dataset()
    for keyword in _EQUIPMENT:
        if source.get(keyword):
            setattr(item, keyword, source.get(keyword))
    if "Manufacturer" not in item:
        item.Manufacturer = "unknown"
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109101", "DCM"
    purpose.CodeMeaning = "Acquisition Equipment"
    item.PurposeOfReferenceCodeSequence = Items([purpose])
    return item


def stand_ins(grid: SourceGrid) -> list[Dataset]:
    """Return a small single-frame data set for each source slice of a grid.

    Each is called by its number, which `refer` turns into the real instance.
    """
    found = []
    with config.disable_value_validation():
        for number, frame in enumerate(grid.frames):
            one = Dataset()
            one.SOPClassUID = CTImageStorage
            one.SOPInstanceUID = f"2.25.{number + 1}"
            one.StudyInstanceUID = grid.study_instance_uid
            one.SeriesInstanceUID = grid.series_instance_uid
            one.FrameOfReferenceUID = grid.frame_of_reference_uid
            one.Modality = "OT"
            for keyword in _TYPE_2:
                setattr(one, keyword, None)
            one.PatientSex = ""
            one.Rows, one.Columns = frame.rows, frame.columns
            one.ImagePositionPatient = numbers(frame.position)
            one.ImageOrientationPatient = numbers(grid.frames[0].orientation)
            one.PixelSpacing = numbers(frame.spacing)
            one.SliceThickness = numbers([thickness(grid)])[0]
            if grid.step:
                one.SpacingBetweenSlices = numbers([grid.step])[0]
            found.append(one)
    return found


def thickness(grid: SourceGrid) -> float:
    """Return the Slice Thickness of a grid in mm; where none is stated, slices have no gaps."""
    stated = grid.frames[0].thickness
    return stated if stated and stated > 0 else grid.step or 1.0


def numbers(values: Iterable[float]) -> list[DSfloat]:
    """Return numbers as decimal strings of at most 16 characters (PS3.5 6.2)."""
    return [DSfloat(format_number_as_ds(float(value))) for value in values]


def refer(result: Dataset, grid: SourceGrid) -> None:
    """Turn references to stand-ins into those to the instances and frames of the source.

    Args:
        result: is changed.
        grid: whose `stand_ins` it was made of.
    """
    done: set[int] = set()  # frames of several segments on one slice share their items
    for group in result.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for item in derivation.SourceImageSequence:
                if id(item) in done:
                    continue
                done.add(id(item))
                slice_number = int(item.ReferencedSOPInstanceUID.rsplit(".", 1)[1]) - 1
                frame = grid.frames[slice_number]
                item.ReferencedSOPClassUID = frame.sop_class_uid
                item.ReferencedSOPInstanceUID = frame.sop_instance_uid
                if frame.frame is not None:
                    item.ReferencedFrameNumber = frame.frame
    refer_to_all(result, grid)


def refer_to_all(result: Dataset, grid: SourceGrid) -> None:
    """Name the instances of the source, and their series.

    Args:
        result: is changed.
        grid: of the source frames.
    """
    result.SourceImageSequence = Items(instance_references(grid.frames))
    result.ReferencedSeriesSequence = Items([series_reference(grid, grid.frames)])


def instance_references(frames: Sequence[SourceFrame]) -> list[Dataset]:
    """Return an item for each instance that frames are of, each once."""
    classes = {frame.sop_instance_uid: frame.sop_class_uid for frame in frames}
    found = []
    for uid, sop_class in classes.items():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        found.append(item)
    return found


def frame_reference(frame: SourceFrame) -> Dataset:
    """Return an item that names the instance, and the frame if it has several."""
    item = Dataset()
    item.ReferencedSOPClassUID = frame.sop_class_uid
    item.ReferencedSOPInstanceUID = frame.sop_instance_uid
    if frame.frame is not None:
        item.ReferencedFrameNumber = frame.frame
    return item


def source_image(frame: SourceFrame, *, preserved: bool = True) -> Dataset:
    """Return an item of Source Image Sequence (PS3.3 C.7.6.1).

    Args:
        frame: that a result's image was derived from.
        preserved: each pixel lies where the source's pixel lies.
    """
    item = frame_reference(frame)
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = SOURCE_IMAGE.value, SOURCE_IMAGE.scheme
    purpose.CodeMeaning = SOURCE_IMAGE.meaning
    item.PurposeOfReferenceCodeSequence = Items([purpose])
    item.SpatialLocationsPreserved = "YES" if preserved else "NO"
    return item


def series_reference(grid: SourceGrid, frames: Sequence[SourceFrame]) -> Dataset:
    """Return an item of Referenced Series Sequence (PS3.3 C.12.2)."""
    item = Dataset()
    item.SeriesInstanceUID = grid.series_instance_uid
    item.ReferencedInstanceSequence = Items(instance_references(frames))
    return item


def finished(result: Dataset) -> Dataset:
    """Return an object as a plain data set with the meta information of a file."""
    plain = Dataset()
    with config.disable_value_validation():
        plain.update(result)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = plain.SOPClassUID
    meta.MediaStorageSOPInstanceUID = plain.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    plain.file_meta = meta
    return plain
