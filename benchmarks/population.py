"""Studies to fill an index with: the same ones for rasnode and for Orthanc."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import insert

from node.core.query_keys import fold
from node.storage.index.engine import Index
from node.storage.index.schema import InstanceRow, PatientRow, SeriesRow, StudyModalityRow, StudyRow

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDIES_OF_A_PATIENT = 2
DAYS = 3650
ROOT = "1.2.826.0.1.3680043.10.1234"
_FIRST_DAY = date(2015, 1, 1)
_MODALITIES = ("CT", "CT", "CT", "MR", "MR", "CR", "US", "PT")
_BATCH = 5000


class Study(NamedTuple):
    """One study by its number: everything else follows from it."""

    number: int

    @property
    def uid(self) -> str:
        return f"{ROOT}.1.{self.number}"

    @property
    def patient(self) -> int:
        return self.number // STUDIES_OF_A_PATIENT

    @property
    def patient_id(self) -> str:
        return f"PID{self.patient:08d}"

    @property
    def name(self) -> str:
        return f"Family{self.patient:06d}^Given{self.patient % 97}"

    @property
    def date(self) -> str:
        return f"{_FIRST_DAY + timedelta(days=self.number * 7919 % DAYS):%Y%m%d}"

    @property
    def modality(self) -> str:
        return _MODALITIES[self.number % len(_MODALITIES)]

    @property
    def attributes(self) -> dict[str, str]:
        return {
            "StudyInstanceUID": self.uid,
            "StudyDate": self.date,
            "StudyTime": f"{self.number % 24:02d}{self.number % 60:02d}00",
            "AccessionNumber": f"ACC{self.number:08d}",
            "StudyID": str(self.number),
            "StudyDescription": f"{self.modality} of something {self.number % 50}",
            "ReferringPhysicianName": f"Refer{self.number % 300}^Ring",
        }

    @property
    def person(self) -> dict[str, str]:
        return {
            "PatientID": self.patient_id,
            "PatientName": self.name,
            "PatientBirthDate": f"19{self.patient % 90 + 10}0101",
            "PatientSex": "MFO"[self.patient % 3],
        }

    def series_uid(self, part: int) -> str:
        return f"{ROOT}.2.{self.number}.{part}"

    def instance_uid(self, part: int, number: int) -> str:
        return f"{ROOT}.3.{self.number}.{part}.{number}"


def fill_rasnode(url: str, studies: int, series: int, instances: int) -> None:
    """Fill an index, with its kept counts, as the receiver would have done."""
    index = Index(url)
    index.migrate()
    every = range(studies)
    patients = range(-(-studies // STUDIES_OF_A_PATIENT))
    tables: list[tuple[type[Any], Iterable[dict[str, Any]]]] = [
        (PatientRow, (_patient(n, studies, series, instances) for n in patients)),
        (StudyRow, (_study(Study(n), series, instances) for n in every)),
        (
            StudyModalityRow,
            ({"modality": Study(n).modality, "study_pk": n + 1} for n in every),
        ),
        (
            SeriesRow,
            (_series(Study(n), part, series, instances) for n in every for part in range(series)),
        ),
        (
            InstanceRow,
            (
                _instance(Study(n), part, number, series)
                for n in every
                for part in range(series)
                for number in range(instances)
            ),
        ),
    ]
    for table, rows in tables:
        for batch in batches(rows):
            with index.writing() as connection:
                connection.execute(insert(table), batch)
    index.close()


def batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of a size that one statement inserts."""
    source = iter(rows)
    while batch := list(islice(source, _BATCH)):
        yield batch


def _patient(number: int, studies: int, series: int, instances: int) -> dict[str, Any]:
    study = Study(number * STUDIES_OF_A_PATIENT)
    own = min(STUDIES_OF_A_PATIENT, studies - study.number)
    person = study.person
    return {
        "id": number + 1,
        "patient_id": study.patient_id,
        "issuer": "",
        "name": study.name,
        "name_key": fold(study.name),
        "birth_date": person["PatientBirthDate"],
        "sex": person["PatientSex"],
        "attributes": person,
        "studies": own,
        "series": own * series,
        "instances": own * series * instances,
    }


def _study(study: Study, series: int, instances: int) -> dict[str, Any]:
    found = study.attributes
    return {
        "id": study.number + 1,
        "uid": study.uid,
        "patient_pk": study.patient + 1,
        "date": found["StudyDate"],
        "time": found["StudyTime"],
        "accession": found["AccessionNumber"],
        "study_id": found["StudyID"],
        "description": found["StudyDescription"],
        "referring": found["ReferringPhysicianName"],
        "referring_key": fold(found["ReferringPhysicianName"]),
        "modalities": study.modality,
        "sop_classes": CT,
        "attributes": found,
        "series": series,
        "instances": series * instances,
    }


def _series(study: Study, part: int, series: int, instances: int) -> dict[str, Any]:
    return {
        "id": study.number * series + part + 1,
        "uid": study.series_uid(part),
        "study_pk": study.number + 1,
        "modality": study.modality,
        "number": part + 1,
        "description": f"series {part + 1}",
        "body_part": "HEAD",
        "date": study.date,
        "time": "120000",
        "attributes": {
            "SeriesInstanceUID": study.series_uid(part),
            "Modality": study.modality,
            "SeriesNumber": str(part + 1),
            "SeriesDescription": f"series {part + 1}",
        },
        "instances": instances,
        "state": "ready",
        "state_since": 1.0,
        "first_arrival": 1.0,
        "last_arrival": 1.0,
    }


def _instance(study: Study, part: int, number: int, series: int) -> dict[str, Any]:
    uid = study.instance_uid(part, number)
    return {
        "uid": uid,
        "series_pk": study.number * series + part + 1,
        "sop_class_uid": CT,
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "number": number + 1,
        "attributes": {"SOPInstanceUID": uid, "InstanceNumber": str(number + 1)},
        "path": f"{uid}.dcm",
        "size": 1000,
        "sha256": "0" * 64,
        "data_set_offset": 400,
        "received_at": 1.0,
    }


_PATIENT_TAGS = {
    "PatientName": (0x10, 0x10),
    "PatientID": (0x10, 0x20),
    "PatientBirthDate": (0x10, 0x30),
    "PatientSex": (0x10, 0x40),
}
_STUDY_TAGS = {
    "StudyDate": (0x08, 0x20),
    "StudyTime": (0x08, 0x30),
    "AccessionNumber": (0x08, 0x50),
    "ReferringPhysicianName": (0x08, 0x90),
    "StudyDescription": (0x08, 0x1030),
    "StudyInstanceUID": (0x20, 0x0D),
    "StudyID": (0x20, 0x10),
}
_SOUGHT = (
    "PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber",
    "StudyDescription", "StudyDate",
)  # fmt: skip
"""What Orthanc 1.10 keeps a second time, in capitals, to look for."""


def fill_orthanc(index: Path, studies: int, series: int, instances: int) -> None:
    """Fill the SQLite index that Orthanc 1.10 made with the same studies, series and instances.

    Only as much of each as its C-FIND reads; fewer rows than rasnode is given.
    """
    with sqlite3.connect(index) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")
        for begin in range(0, studies, _BATCH):
            numbers = range(begin, min(studies, begin + _BATCH))
            _orthanc_batch(connection, numbers, series, instances)
            connection.commit()


def _orthanc_batch(
    connection: sqlite3.Connection, numbers: Iterable[int], series: int, instances: int
) -> None:
    resources: list[tuple[Any, ...]] = []
    tags: list[tuple[Any, ...]] = []
    sought: list[tuple[Any, ...]] = []
    metadata: list[tuple[Any, ...]] = []
    of_series = 1 + instances
    stride = 2 + series * of_series  # rows of a study, and of its patient

    def resource(key: int, kind: int, parent: int | None, *names: str) -> None:
        digest = hashlib.sha1("|".join(names).encode(), usedforsecurity=False).hexdigest()
        public = "-".join(digest[at : at + 8] for at in range(0, 40, 8))
        resources.append((key, kind, public, parent))
        metadata.append((key, 7, "20200101T000000"))

    def kept(key: int, values: dict[str, str], places: dict[str, tuple[int, int]]) -> None:
        for keyword, place in places.items():
            value = values[keyword]
            tags.append((key, *place, value))
            if keyword in _SOUGHT:
                sought.append((key, *place, value.upper()))

    for number in numbers:
        study = Study(number)
        person, found = study.person, study.attributes
        patient_key = stride * study.patient * STUDIES_OF_A_PATIENT + 1
        key = stride * number + 2
        names = (study.patient_id, study.uid)
        if number % STUDIES_OF_A_PATIENT == 0:
            resource(patient_key, 1, None, *names[:1])
            kept(patient_key, person, _PATIENT_TAGS)
        resource(key, 2, patient_key, *names)
        kept(key, person | found, _PATIENT_TAGS | _STUDY_TAGS)
        for part in range(series):
            series_key, uid = key + 1 + part * of_series, study.series_uid(part)
            resource(series_key, 3, key, *names, uid)
            tags += [(series_key, 0x08, 0x60, study.modality), (series_key, 0x20, 0x0E, uid)]
            tags.append((series_key, 0x20, 0x11, str(part + 1)))
            sought.append((series_key, 0x20, 0x0E, uid))
            for one in range(instances):
                instance_key, last = series_key + 1 + one, study.instance_uid(part, one)
                resource(instance_key, 4, series_key, *names, uid, last)
                tags.append((instance_key, 0x08, 0x18, last))
                tags.append((instance_key, 0x20, 0x13, str(one + 1)))
                sought.append((instance_key, 0x08, 0x18, last))
    connection.executemany("INSERT INTO Resources VALUES (?, ?, ?, ?)", resources)
    connection.executemany("INSERT INTO MainDicomTags VALUES (?, ?, ?, ?)", tags)
    connection.executemany("INSERT INTO DicomIdentifiers VALUES (?, ?, ?, ?)", sought)
    connection.executemany("INSERT INTO Metadata VALUES (?, ?, ?)", metadata)
