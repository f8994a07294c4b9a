"""The same UIDs under several patients, studies and series: each data set is found as its own."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from node.core.query_keys import Level
from node.core.records import InstanceRecord, Shared, Stored
from node.dicom.matching import Negotiated, Retrieve
from node.dicom.persons import Person, differ
from node.storage.index.engine import Index
from node.storage.index.schema import (
    ConflictRow,
    InstanceRow,
    NamesakeRow,
    PatientRow,
    SeriesRow,
    StudyRow,
)
from node.storage.index.search.listing import Listing
from node.storage.index.search.search import Search
from node.storage.index.series.namesakes import MOST, Namesakes
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.unit.dicom.matching.identifiers import query
from tests.unit.storage.index.test_store import record

PEOPLE = (
    Person("P1", "", "Doe^Jane", "19700131"),
    Person("P2", "", "Roe^John", "19800101"),
    Person("P1", "", "Coe^Ann", "19900101"),  # an ID that was given twice
    Person("", "", "Doe^Jane", "19700131"),
    Person("", "", "Zoe^Zoe", ""),
)


def made(
    person: Person, study: int, series: int, number: int, content: str = "a"
) -> InstanceRecord:
    """A data set; whatever differs makes other bytes."""
    sha256 = (
        f"{PEOPLE.index(person) if person in PEOPLE else hash(person)}-{study}-{series}-{content}"
    )
    plain = record(number, series=1, study=1, sha256=f"{sha256}-{number}")
    values = {
        "PatientID": person.patient_id,
        "PatientName": person.name,
        "PatientBirthDate": person.birth_date,
        "IssuerOfPatientID": person.issuer,
    }
    said = {key: value for key, value in values.items() if value}
    others = {key: value for key, value in plain.attributes.items() if key not in values}
    return msgspec.structs.replace(
        plain,
        study_instance_uid=f"1.9.{study}",
        series_instance_uid=f"1.8.{series}",
        path=f"{study}/{series}/{number}/{sha256}",
        attributes={**others, **said},
    )


def found(index: Index, level: Level, **keys: str) -> list[Any]:
    """What a relational C-FIND answers."""
    return list(Search(index).find(query(level, negotiated=Negotiated(relational=True), **keys)))


def rows(index: Index, row: type[Any]) -> int:
    with index.reading() as connection:
        return connection.scalar(select(func.count()).select_from(row)) or 0


def test_copies_in_another_study_series_or_patient_are_found_as_their_own(index: Index) -> None:
    store, work = Store(index), Work(index)
    store.add([(made(PEOPLE[0], 1, 1, number), None) for number in (1, 2)])
    elsewhere = [(PEOPLE[0], 2, 1), (PEOPLE[0], 1, 2), (PEOPLE[1], 1, 1), (PEOPLE[1], 3, 3)]
    for place in elsewhere:
        batch = [(made(*place, number), None) for number in (1, 2)]
        assert store.add(batch) == [Stored.NEW, Stored.NEW]
        assert store.add(batch) == [Stored.SAME, Stored.SAME]
    conflict = made(PEOPLE[1], 1, 1, 1, "b")
    assert store.add([(conflict, None)]) == [Stored.CONFLICT]
    assert store.add([(conflict, None)]) == [Stored.SAME]

    assert rows(index, SeriesRow) == 5
    for person, study, series in [(PEOPLE[0], 1, 1), *elsewhere]:
        patient = Retrieve(
            Level.SERIES,
            (
                (Level.PATIENT, (person.patient_id,)),
                (Level.STUDY, (f"1.9.{study}",)),
                (Level.SERIES, (f"1.8.{series}",)),
            ),
        )
        search = Search(index)
        expected = [made(person, study, series, number).sha256 for number in (1, 2)]
        assert [one.sha256 for one in search.sendable(search.select(patient))] == expected
    every = Search(index).select(Retrieve(Level.STUDY, ((Level.STUDY, ("1.9.1",)),)))
    assert len(every) == 6

    first, second = work.series("1.8.1"), work.series("1.8.1~1")
    assert first is not None
    assert second is not None
    assert (first.study_uid, second.study_uid) == ("1.9.1", "1.9.2")
    assert work.series("1.8.1~9") is work.series("1.8.1~x") is None
    shares = Namesakes(index).of([first.pk, second.pk])
    assert {(one.shared, one.address) for one in shares[second.pk]} == {
        (Shared.SERIES_UID, "1.8.1"),
        (Shared.INSTANCE_UIDS, "1.8.1"),
    }
    assert {one.address for one in shares[first.pk]} == {"1.8.1~1", "1.8.1~2", "1.8.2", "1.8.3"}
    said = [step["why"] for step in (event["detail"] for event in work.history(first.pk))]
    assert len([why for why in said if "another s" in why and ": see series " in why]) == len(
        shares[first.pk]
    )


def test_two_people_of_one_study_uid_are_both_found(index: Index) -> None:
    store = Store(index)
    store.add([(made(person, 1, series, series), None) for series, person in enumerate(PEOPLE)])
    for series, person in enumerate(PEOPLE):
        answers = found(
            index,
            Level.SERIES,
            PatientName=person.name,
            PatientID=person.patient_id,
            SeriesInstanceUID=f"1.8.{series}",
            StudyInstanceUID="1.9.1",
        )
        assert [answer["SeriesInstanceUID"] for answer in answers] == [f"1.8.{series}"], person


def test_what_is_missing_padded_or_in_capitals_is_no_other_patient(index: Index) -> None:
    store = Store(index)
    whole = Person("P1", "H", "Doe^Jane", "19700131")
    said = [
        Person("", "", "", ""),
        Person("", "", "Doe^Jane", ""),
        Person("P1", "", "", ""),
        whole,
        Person("p1", "", "DOE^JANE^", "1970.01.31"),
        Person("", "", "", "19700131"),
    ]
    for number, person in enumerate(said):
        assert store.add([(made(person, 1, 1, number), None)]) == [Stored.NEW]
    assert rows(index, SeriesRow) == rows(index, StudyRow) == rows(index, PatientRow) == 1
    with index.reading() as connection:
        row = connection.execute(select(PatientRow)).one()
    assert Person(row.patient_id, row.issuer, row.name, row.birth_date) == whole
    assert (row.studies, row.series, row.instances) == (1, 1, 6)
    assert Work(index).attributes(1)["PatientID"] == "P1"
    # and it is not somebody else's, who comes later
    store.add([(made(PEOPLE[1], 1, 1, 9), None)])
    assert (rows(index, SeriesRow), rows(index, PatientRow)) == (2, 2)


def test_however_many_copies_come_a_series_is_flagged_a_few_times(index: Index) -> None:
    store = Store(index)
    store.add([(made(PEOPLE[0], 1, series, 1), None) for series in range(3 * MOST)])
    first = Work(index).series("1.8.0")
    assert first is not None
    assert len(Namesakes(index).of([first.pk])[first.pk]) == MOST
    assert len(Work(index).history(first.pk)) == MOST


def test_beside_means_the_series_of_the_same_study(index: Index) -> None:
    store, work, namesakes = Store(index), Work(index), Namesakes(index)
    for person, study in ((PEOPLE[0], 1), (PEOPLE[1], 1)):
        store.add([(made(person, study, series, 1), None) for series in (1, 2)])
    store.add([(made(PEOPLE[0], 2, 3, 5), None)])
    series = {one.address: one for one in work.in_state()}
    assert namesakes.beside("1.8.1", series["1.8.2"]) == "1.8.1"
    assert namesakes.beside("1.8.1", series["1.8.2~1"]) == "1.8.1~1"
    assert namesakes.beside("1.8.1", series["1.8.3"]) is None  # either of them
    assert namesakes.beside("1.8.3", series["1.8.2~1"]) == "1.8.3"
    assert namesakes.beside("1.8.7", series["1.8.2"]) == "1.8.7"


@pytest.mark.parametrize("seed", range(2))
def test_random_worlds(index: Index, seed: int) -> None:
    rng = random.Random(seed)
    people = [*PEOPLE, *(person._replace(patient_id="") for person in PEOPLE[:2]), Person()]
    everything = [
        made(rng.choice(people), rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 6), content)
        for content in "aab"
        for _ in range(60)
    ]
    waiting = [*everything, *rng.sample(everything, 60)]
    rng.shuffle(waiting)
    store, seen = Store(index), set[str]()
    while waiting:
        batch, waiting = waiting[: (n := rng.randint(1, 30))], waiting[n:]
        for one, outcome in zip(batch, store.add([(one, None) for one in batch]), strict=True):
            assert (outcome is Stored.SAME) == (one.sha256 in seen)
            seen.add(one.sha256)

    belongs = {one.sha256: one for one in everything}
    kept = select(InstanceRow.sha256, InstanceRow.id)
    beside = select(ConflictRow.sha256, ConflictRow.instance_pk)
    with index.reading() as connection:
        held = dict(tuple(row) for row in connection.execute(kept).all())
        held |= dict(tuple(row) for row in connection.execute(beside).all())
        whose = {
            row.id: row
            for row in connection.execute(
                select(
                    InstanceRow.id,
                    InstanceRow.uid,
                    SeriesRow.uid.label("series"),
                    StudyRow.uid.label("study"),
                    PatientRow.patient_id,
                    PatientRow.id.label("patient"),
                )
                .join(SeriesRow, SeriesRow.id == InstanceRow.series_pk)
                .join(StudyRow, StudyRow.id == SeriesRow.study_pk)
                .join(PatientRow, PatientRow.id == StudyRow.patient_pk)
            )
        }
        counted = {row.id: row for row in connection.execute(select(PatientRow)).all()}
        studies = Counter(connection.scalars(select(StudyRow.patient_pk)))
    assert held.keys() == belongs.keys()
    for sha256, pk in held.items():
        one, row = belongs[sha256], whose[pk]
        assert (row.uid, row.series, row.study) == (
            one.sop_instance_uid, one.series_instance_uid, one.study_instance_uid,
        )  # fmt: skip
        said = one.attributes.get("PatientID", "")
        assert not differ(Person(said), Person(row.patient_id))
    instances = Counter(row.patient for row in whose.values())
    assert {pk: (row.studies, row.instances) for pk, row in counted.items()} == {
        pk: (studies[pk], instances[pk]) for pk in studies
    }
    totals = Listing(index).totals()
    assert totals["patients"] == len(counted)
    assert totals["instances"] == len(whose)
    assert rows(index, NamesakeRow) > 0
