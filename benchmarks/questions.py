"""The queries of the benchmark: one function a query, from a study to an identifier."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.dataset import Dataset

from benchmarks.population import Study

RETURNED = (
    "PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber",
    "StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedSeries",
)  # fmt: skip


def _study_level(**keys: str) -> Dataset:
    return _identifier("STUDY", {**dict.fromkeys(RETURNED, ""), **keys})


def _identifier(level: str, keys: dict[str, str]) -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    return made


QUERIES: dict[str, Callable[[Study], Dataset]] = {
    "StudyInstanceUID": lambda s: _study_level(StudyInstanceUID=s.uid),
    "series of a study": lambda s: _identifier(
        "SERIES",
        {
            "StudyInstanceUID": s.uid,
            "SeriesInstanceUID": "",
            "Modality": "",
            "SeriesNumber": "",
            "NumberOfSeriesRelatedInstances": "",
        },
    ),
    "SeriesInstanceUID": lambda s: _identifier(
        "SERIES", {"StudyInstanceUID": s.uid, "SeriesInstanceUID": s.series_uid(0)}
    ),
    "SOPInstanceUID": lambda s: _identifier(
        "IMAGE",
        {
            "StudyInstanceUID": s.uid,
            "SeriesInstanceUID": s.series_uid(0),
            "SOPInstanceUID": s.instance_uid(0, 0),
            "InstanceNumber": "",
        },
    ),
    "PatientID": lambda s: _study_level(PatientID=s.patient_id),
    "PatientName prefix": lambda s: _study_level(
        PatientName=s.name.partition("^")[0].upper() + "*"
    ),
    "AccessionNumber": lambda s: _study_level(AccessionNumber=s.attributes["AccessionNumber"]),
    "StudyDate, one day": lambda s: _study_level(StudyDate=f"{s.date}-{s.date}"),
    "StudyDate and modality": lambda s: _study_level(
        StudyDate=s.date, ModalitiesInStudy=s.modality
    ),
}
BROAD: dict[str, Callable[[Study], Dataset]] = {
    "StudyDate, ten years": lambda _s: _study_level(StudyDate="20150101-20241231"),
    "ModalitiesInStudy": lambda _s: _study_level(ModalitiesInStudy="MR"),
    "everything": lambda _s: _study_level(),
}
