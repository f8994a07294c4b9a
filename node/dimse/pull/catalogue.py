"""What a peer says that it has: studies, their series, and their instances, by C-FIND."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.core.errors import Permanent
from node.core.query_keys import Level
from node.dimse.pull.comparison import SeriesExpected
from node.dimse.pull.question import matches
from node.dimse.scu.query import QueryFailed, QuerySCU, Row

_MOST_PATIENTS: Final = 500  # of a peer that has to be asked patient by patient
_MOST_STUDIES: Final = 5_000  # of one row
_MOST_SERIES: Final = 10_000  # of a study
_MOST_INSTANCES: Final = 500_000  # of a series
_COUNTED: Final = 1 << 30  # a number above this is none


class TooMany(Permanent):
    """A question finds more than one row of a list can be meant to fetch."""


class CannotAsk(Permanent):
    """The peer cannot answer the question, as it needs a key that the row does not have."""


@dataclass(frozen=True, slots=True)
class StudyFound:
    """A study that a peer has.

    Attributes:
        uid: Study Instance UID.
        patient_id: Patient ID as the peer has it.
        count: instances that it says there are; None: it does not say.
        sop_classes: as it says; empty if it was not asked.
    """

    uid: str
    patient_id: str
    count: int | None
    sop_classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The studies of a row.

    Attributes:
        studies: each once.
        left_out: answers that are none to the question.
    """

    studies: tuple[StudyFound, ...]
    left_out: int


def studies_of(query: QuerySCU, keys: Mapping[str, str], *, with_classes: bool = False) -> Found:
    """Ask which studies match.

    Args:
        query: an open association.
        keys: of patient and study.
        with_classes: ask for their SOP classes, too.

    Raises:
        PeerSilent: the peer does not answer.
        CannotAsk, TooMany: the row has to say more.
    """
    if query.is_patient_root and not _is_single(keys.get("PatientID", "")):
        rows: list[Row] = []
        if query.is_relational:
            rows += _studies(query, keys, with_classes=with_classes)
        else:
            for patient in _patients(query, keys):
                of_one = {**keys, "PatientID": patient}
                rows += _studies(query, of_one, with_classes=with_classes)
    else:
        rows = list(_studies(query, keys, with_classes=with_classes))
    good = [row for row in rows if row["StudyInstanceUID"] and matches(keys, row)]
    studies = {row["StudyInstanceUID"]: _study(row) for row in good}
    return Found(tuple(studies.values()), len(rows) - len(good))


def study_of_series(query: QuerySCU, series_uid: str) -> str:
    """The study of a series whose study a row does not name.

    Raises:
        CannotAsk: the peer needs the study (PS3.4 C.4.1.2.1).
    """
    if not query.is_relational:
        raise CannotAsk(
            "the peer cannot look for a series without its study; "
            "add the column StudyInstanceUID to the list"
        )
    answer = query.ask(
        Level.SERIES, {"SeriesInstanceUID": series_uid}, ("StudyInstanceUID",), limit=2
    )
    studies = {row["StudyInstanceUID"] for row in answer.rows if row["StudyInstanceUID"]}
    return studies.pop() if len(studies) == 1 else ""


def series_of(
    query: QuerySCU,
    study: StudyFound,
    keys: Mapping[str, str],
    *,
    with_instances: bool = True,
    with_classes: bool = False,
) -> tuple[list[SeriesExpected], bool]:
    """Ask which series of a study match, and what is in them.

    Args:
        query: an open association.
        study: the study.
        keys: what the series have to match; empty: all.
        with_instances: ask at image level, too.
        with_classes: ask for the SOP class of each instance; for that some archives read its file.

    Returns:
        the series, and whether they are all of the study.

    Raises:
        PeerSilent: the peer does not answer.
    """
    above = _above(query, study)
    returned = ("Modality", "SeriesDescription", "SeriesNumber", "NumberOfSeriesRelatedInstances")
    # Only the study is asked for: of a key that it does not know a peer matches everything.
    answer = query.ask(Level.SERIES, above, (*returned, *keys), limit=_MOST_SERIES)
    if answer.is_cut_off:
        raise TooMany(f"a study has more than {_MOST_SERIES} series")
    rows = {row["SeriesInstanceUID"]: row for row in answer.rows if row["SeriesInstanceUID"]}
    wanted = [row for row in rows.values() if matches(keys, row)]
    series = [
        _series(query, above, row, with_instances=with_instances, with_classes=with_classes)
        for row in wanted
    ]
    return series, len(wanted) == len(rows)


def _series(
    query: QuerySCU,
    above: Mapping[str, str],
    row: Row,
    *,
    with_instances: bool,
    with_classes: bool,
) -> SeriesExpected:
    uid = row["SeriesInstanceUID"]
    count = _count(row["NumberOfSeriesRelatedInstances"])
    instances = None
    if with_instances:
        above = {**above, "SeriesInstanceUID": uid}
        instances = _instances(query, above, with_classes=with_classes)
    if instances is not None and not instances and count != 0:
        instances = None  # an empty list beside a number, or beside nothing, says nothing
    classes = frozenset(instances.values()) - {""} if instances else frozenset()
    return SeriesExpected(
        uid,
        row["Modality"],
        None if instances is None else frozenset(instances),
        count,
        frozenset(classes),
    )


def _instances(
    query: QuerySCU, above: Mapping[str, str], *, with_classes: bool
) -> dict[str, str] | None:
    """SOP Instance UID -> SOP Class UID; None if the peer knows no image level."""
    # An instance whose file an archive has lost must not hide the others.
    for returned in (("SOPClassUID",), ()) if with_classes else ((),):
        try:
            answer = query.ask(Level.IMAGE, above, returned, limit=_MOST_INSTANCES)
        except QueryFailed:
            continue
        if answer.is_cut_off:
            raise TooMany(f"a series has more than {_MOST_INSTANCES} instances")
        return {
            row["SOPInstanceUID"]: row.get("SOPClassUID", "")
            for row in answer.rows
            if row["SOPInstanceUID"]
        }
    return None


def _studies(query: QuerySCU, keys: Mapping[str, str], *, with_classes: bool) -> Sequence[Row]:
    classes = ("SOPClassesInStudy",) if with_classes else ()
    returned = ("PatientID", "NumberOfStudyRelatedInstances", *classes)
    answer = query.ask(Level.STUDY, keys, returned, limit=_MOST_STUDIES)
    if answer.is_cut_off:
        raise TooMany(f"more than {_MOST_STUDIES} studies match; ask for fewer in one row")
    return answer.rows


def _patients(query: QuerySCU, keys: Mapping[str, str]) -> list[str]:
    """Patient Root wants one patient in each question about studies (PS3.4 C.4.1.2.1)."""
    of_patient = {key: value for key, value in keys.items() if key.startswith("Patient")}
    answer = query.ask(Level.PATIENT, of_patient, limit=_MOST_PATIENTS)
    if answer.is_cut_off:
        raise CannotAsk(
            "the peer knows Patient Root alone and has too many patients to look through; "
            "add the column PatientID to the list"
        )
    return sorted({row["PatientID"] for row in answer.rows if row["PatientID"]})


def _above(query: QuerySCU, study: StudyFound) -> dict[str, str]:
    above = {"StudyInstanceUID": study.uid}
    return {"PatientID": study.patient_id, **above} if query.is_patient_root else above


def _is_single(value: str) -> bool:
    return bool(value) and not set(value) & set("*?\\")


def _study(row: Row) -> StudyFound:
    classes = tuple(part for part in row.get("SOPClassesInStudy", "").split("\\") if part)
    return StudyFound(
        row["StudyInstanceUID"],
        row["PatientID"],
        _count(row["NumberOfStudyRelatedInstances"]),
        classes,
    )


def _count(said: str) -> int | None:
    digits = said.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        return None
    return int(digits) if int(digits) < _COUNTED else None
