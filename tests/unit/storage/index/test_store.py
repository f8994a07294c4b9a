"""What the index knows after instances came, in whatever order and batches: held to a model."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from node.core.query_keys import ATTRIBUTES
from node.core.records import InstanceRecord, SeriesState, Stored
from node.storage.index.engine import Index
from node.storage.index.schema import (
    ArrivalRow,
    ConflictRow,
    HeaderRow,
    InstanceRow,
    PatientRow,
    SeriesEventRow,
    SeriesRow,
    StudyModalityRow,
    StudyRow,
)
from node.storage.index.series.work import Work
from node.storage.index.store import Store

CT, SC = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"


def record(
    number: int,
    *,
    series: int = 1,
    study: int = 1,
    patient: str = "P",
    sha256: str = "a",
    at: float = 1.0,
    modality: str = "CT",
    sop_class: str = CT,
) -> InstanceRecord:
    """One instance; what it says of itself follows from the numbers."""
    return InstanceRecord(
        sop_instance_uid=f"1.2.{study}.{series}.{number}",
        sop_class_uid=sop_class,
        series_instance_uid=f"1.8.{study}.{series}",
        study_instance_uid=f"1.9.{study}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"{study}/{series}/{number}/{sha256}",
        size=10 + number,
        sha256=sha256,
        data_set_offset=300,
        pixel_offset=100,
        pixel_length=None,
        attributes={
            "PatientID": patient,
            "PatientName": "Müller^Ä",
            "IssuerOfPatientID": "H",
            "StudyDate": "20240102",
            "ReferringPhysicianName": "Grün^G",
            "Modality": modality,
            "SeriesNumber": str(series),
            "SeriesDescription": f"series {series}",
            "InstanceNumber": str(number) if number % 7 else "none",
        },
        header=f"header {number} {sha256}".encode(),
        received_at=at,
    )


@dataclass
class ModelSeries:
    study: str
    modality: str
    instances: int = 0
    state: str = "receiving"
    state_since: float = 0.0
    change: int = 0
    first_arrival: float = 0.0
    last_arrival: float = 0.0
    due: float | None = None
    events: list[tuple[float, str, str]] = field(default_factory=list)
    arrivals: dict[int, list[float]] = field(default_factory=dict)


class Model:
    """What `Store.add` means, one record after the other."""

    def __init__(self) -> None:
        self.instances: dict[str, InstanceRecord] = {}
        self.conflicts: dict[tuple[str, str], InstanceRecord] = {}
        self.series: dict[str, ModelSeries] = {}
        self.study_patient: dict[str, str] = {}
        self.modalities: dict[str, set[str]] = defaultdict(set)
        self.sop_classes: dict[str, list[str]] = defaultdict(list)
        self.brought: dict[str, int | None] = {}

    def add(self, one: InstanceRecord, association: int | None) -> Stored:
        uid = one.sop_instance_uid
        known = self.instances.get(uid)
        if known is not None:
            if known.sha256 == one.sha256:
                self._repeat(self.series[known.series_instance_uid], one, association)
                return Stored.SAME
            if (uid, one.sha256) in self.conflicts:
                return Stored.SAME
            self.conflicts[uid, one.sha256] = one
            self._arrive(self.series[known.series_instance_uid], one, association, conflict=True)
            return Stored.CONFLICT
        self.instances[uid] = one
        self.brought[uid] = association
        study = one.study_instance_uid
        if one.series_instance_uid not in self.series:
            self.study_patient.setdefault(study, one.attributes["PatientID"])
            if one.attributes["Modality"]:
                self.modalities[study].add(one.attributes["Modality"])
            self.series[one.series_instance_uid] = ModelSeries(
                study,
                one.attributes["Modality"],
                first_arrival=one.received_at,
                last_arrival=one.received_at,
                state_since=one.received_at,
            )
        series = self.series[one.series_instance_uid]
        if one.sop_class_uid not in self.sop_classes[series.study]:
            self.sop_classes[series.study].append(one.sop_class_uid)
        series.instances += 1
        self._arrive(series, one, association, conflict=False)
        return Stored.NEW

    def _repeat(self, series: ModelSeries, one: InstanceRecord, association: int | None) -> None:
        before = self.brought[one.sop_instance_uid]
        if association is None or before is None or series.state != "receiving":
            return
        if association > before:
            self.brought[one.sop_instance_uid] = association
            series.arrivals.setdefault(association, [one.received_at, one.received_at, 0])

    @staticmethod
    def _arrive(
        series: ModelSeries, one: InstanceRecord, association: int | None, *, conflict: bool
    ) -> None:
        at = one.received_at
        if series.state != "receiving":
            why = "a conflict was received" if conflict else "another instance was received"
            series.events.append((at, series.state, why))
            series.state, series.state_since = "receiving", at
        series.change += 1
        series.due = at
        series.last_arrival = max(series.last_arrival, at)
        if association is not None:
            arrival = series.arrivals.setdefault(association, [at, at, 0])
            arrival[1] = at
            arrival[2] += 1


@pytest.mark.parametrize("number", ["3000000000", "9" * 20, "-" + "9" * 5000, "1_0"])
def test_numbers_that_no_column_holds_are_none(index: Index, number: str) -> None:
    one = record(1)
    one.attributes.update(SeriesNumber=number, InstanceNumber=number)
    assert Store(index).add([(one, None)]) == [Stored.NEW]
    series = Work(index).series(one.series_instance_uid)
    assert series is not None
    assert series.number is None


def test_pixels_behind_two_gigabytes_are_looked_for(index: Index) -> None:
    one = structs.replace(record(1), pixel_offset=2**31, pixel_length=2**40)
    assert Store(index).add([(one, None)]) == [Stored.NEW]
    series = Work(index).series(one.series_instance_uid)
    assert series is not None
    (found,) = Work(index).instances(series.pk)
    assert (found.pixel_offset, found.pixel_length) == (None, 2**40)


def check(index: Index, model: Model) -> None:
    """Every table says what the model says."""
    with index.reading() as connection:
        carried = select(InstanceRow.uid, InstanceRow.association_pk)
        brought = dict(map(tuple, connection.execute(carried)))
        assert brought == model.brought

        def rows(table: type[Any], key: str) -> dict[Any, Any]:
            found = connection.execute(select(table)).mappings().all()
            return {row[key]: row for row in found}

        series, studies = rows(SeriesRow, "uid"), rows(StudyRow, "uid")
        patients, instances = rows(PatientRow, "patient_id"), rows(InstanceRow, "uid")
        by_pk = {row["id"]: uid for uid, row in series.items()}

        assert set(instances) == set(model.instances)
        headers = rows(HeaderRow, "instance_pk")
        assert len(headers) == len(instances)
        for uid, row in instances.items():
            one = model.instances[uid]
            assert by_pk[row["series_pk"]] == one.series_instance_uid
            assert headers[row["id"]]["header"] == one.header
            for name in (
                "sop_class_uid", "transfer_syntax_uid", "path", "size", "sha256",
                "data_set_offset", "pixel_offset", "pixel_length", "received_at",
            ):  # fmt: skip
                assert row[name] == getattr(one, name), name
            number = one.attributes["InstanceNumber"]
            assert row["number"] == (int(number) if number.isdigit() else None)
            assert row["attributes"] == {"InstanceNumber": number}

        conflicts = connection.execute(select(ConflictRow)).mappings().all()
        uid_of = {row["id"]: uid for uid, row in instances.items()}
        assert {(uid_of[row["instance_pk"]], row["sha256"]) for row in conflicts} == set(
            model.conflicts
        )
        for row in conflicts:
            one = model.conflicts[uid_of[row["instance_pk"]], row["sha256"]]
            assert (row["header"], row["path"], row["size"]) == (one.header, one.path, one.size)

        assert set(series) == set(model.series)
        for uid, row in series.items():
            expected = model.series[uid]
            assert row["study_pk"] == studies[expected.study]["id"]
            for name in (
                "modality", "instances", "state", "state_since", "change", "first_arrival",
                "last_arrival", "due",
            ):  # fmt: skip
                assert row[name] == getattr(expected, name), (uid, name)
            assert row["owner"] == ""
            events = connection.execute(
                select(SeriesEventRow)
                .where(SeriesEventRow.series_pk == row["id"], SeriesEventRow.actor == "receiver")
                .order_by(SeriesEventRow.id)
            ).mappings()
            assert [(e["at"], e["from_state"], e["detail"]["why"]) for e in events] == (
                expected.events
            )
            arrivals = connection.execute(
                select(ArrivalRow).where(ArrivalRow.series_pk == row["id"])
            ).mappings()
            assert {
                a["association_pk"]: [a["first_at"], a["last_at"], a["instances"]] for a in arrivals
            } == expected.arrivals

        of_study: dict[str, list[ModelSeries]] = defaultdict(list)
        for expected in model.series.values():
            of_study[expected.study].append(expected)
        of_patient: dict[str, list[str]] = defaultdict(list)
        for study, patient in model.study_patient.items():
            of_patient[patient].append(study)
        assert set(studies) == set(of_study)
        for uid, row in studies.items():
            assert row["series"] == len(of_study[uid])
            assert row["instances"] == sum(one.instances for one in of_study[uid])
            assert row["modalities"] == "\\".join(sorted(model.modalities[uid]))
            assert row["sop_classes"] == "\\".join(model.sop_classes[uid])
            assert row["patient_pk"] == patients[model.study_patient[uid]]["id"]
            assert row["attributes"] == {
                "StudyDate": "20240102", "ReferringPhysicianName": "Grün^G"
            }  # fmt: skip
        assert set(patients) == set(of_patient)
        for patient, row in patients.items():
            mine = [one for study in of_patient[patient] for one in of_study[study]]
            assert row["studies"] == len(of_patient[patient])
            assert row["series"] == len(mine)
            assert row["instances"] == sum(one.instances for one in mine)
            assert row["name_key"] == "muller^a"
        found = connection.execute(select(StudyModalityRow)).mappings().all()
        study_of = {row["id"]: uid for uid, row in studies.items()}
        assert {(study_of[row["study_pk"]], row["modality"]) for row in found} == {
            (study, modality) for study, names in model.modalities.items() for modality in names
        }


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_in_whatever_batches(index: Index, seed: int) -> None:
    rng = random.Random(seed)
    store, model, work = Store(index), Model(), Work(index)
    associations: list[int | None] = [None] + [
        store.open_association("SCANNER", "RASNODE", "10.0.0.1", 0.5, "run") for _ in range(3)
    ]
    now = 1.0
    for _ in range(25):
        batch = []
        for _ in range(rng.choice((1, 1, 2, 5, 40))):
            now += rng.choice((0.0, 0.25, 1.5))
            study = rng.randrange(1, 4)
            series = rng.randrange(1, 5)
            batch.append(
                (
                    record(
                        rng.randrange(1, 30),
                        series=series,
                        study=study,
                        patient=f"P{study % 2}",
                        sha256=rng.choice("aaaabc"),
                        at=now,
                        modality=("CT", "MR", "", "CT")[series - 1],
                        sop_class=rng.choice((CT, SC)),
                    ),
                    rng.choice(associations),
                )
            )
        assert store.add(batch) == [model.add(*item) for item in batch]
        for series_record in work.in_state(SeriesState.RECEIVING):
            if rng.random() < 0.3:
                now += 0.5
                moved = work.move(
                    series_record, SeriesState.ASSEMBLING, now=now, actor="w", owner="me", due=None
                )
                assert moved is not None
                expected = model.series[series_record.uid]
                expected.state, expected.state_since = "assembling", now
                expected.change += 1
                expected.due = None
                work.move(moved, SeriesState.READY, now=now, actor="w", owner="")
                expected.state = "ready"
                expected.change += 1
        check(index, model)


def test_an_empty_batch_is_no_transaction(index: Index) -> None:
    assert Store(index).add([]) == []


def test_one_uid_twice_in_a_batch_counts_once(index: Index) -> None:
    store = Store(index)
    batch = [(record(1), None), (record(1), None), (record(1, sha256="b"), None)]
    assert store.add(batch) == [Stored.NEW, Stored.SAME, Stored.CONFLICT]
    series = Work(index).series("1.8.1.1")
    assert series is not None
    assert (series.instances, series.change) == (1, 2)


def test_a_batch_larger_than_one_statement_may_be(index: Index) -> None:
    store = Store(index)
    batch = [(record(number), None) for number in range(1, 2501)]
    assert store.add(batch) == [Stored.NEW] * 2500
    assert store.add(batch) == [Stored.SAME] * 2500


def test_what_fails_leaves_nothing_behind(index: Index) -> None:
    store, model = Store(index), Model()
    model.add(record(1), None)
    store.add([(record(1), None)])
    nowhere = 4711  # no such association: the last statements of the batch fail
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        store.add([(record(2), None), (record(3, series=9, study=9), nowhere)])
    check(index, model)


def test_two_stores_of_two_processes_see_each_other(index: Index) -> None:
    """What another process did to a series since must not be remembered wrongly."""
    other_index = Index(index.engine.url.render_as_string(hide_password=False))
    first, second, model = Store(index), Store(other_index), Model()
    try:
        for number in range(1, 9):
            for store in (first, second):
                one = record(number, sha256="a" if store is first else "b", at=float(number))
                assert store.add([(one, None)]) == [model.add(one, None)]
        check(index, model)
    finally:
        other_index.close()


def test_the_text_of_an_error_names_no_patient(index: Index) -> None:
    statement = text("SELECT * FROM no_such_table WHERE patient_name = :name")
    with pytest.raises(DBAPIError) as caught, index.engine.connect() as connection:
        connection.execute(statement, {"name": "Somebody^Ill"})
    assert "Somebody" not in str(caught.value)


def test_the_longest_text_of_any_attribute_comes_into_the_index(index: Index) -> None:
    """PostgreSQL takes no value above 2,704 bytes into an index, which text that does not repeat
    itself reaches: an instance that was answered must not be kept out by it."""
    chance = random.Random(1)
    keywords = [one.keyword for one in ATTRIBUTES if one.vr != "SQ"]
    for number, keyword in enumerate(keywords, start=1):
        long = "".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(10_240))
        one = record(number, study=number)
        given = structs.replace(one, attributes={**one.attributes, keyword: long})
        assert Store(index).add([(given, None)]) == [Stored.NEW], keyword


def test_patients_whose_long_ids_differ_at_the_end_only_are_two(index: Index) -> None:
    long = "P" * 5_000
    for number, patient in enumerate([long, f"{long}Q", long], start=1):
        one = record(number, study=number, patient=patient)
        assert Store(index).add([(one, None)]) == [Stored.NEW]
        more = record(100 + number, study=number, patient=patient)
        assert Store(index).add([(more, None)]) == [Stored.NEW]
    with index.reading() as connection:
        query = select(PatientRow.attributes, PatientRow.studies).order_by(PatientRow.id)
        rows = connection.execute(query).all()
    assert [(row.attributes["PatientID"], row.studies) for row in rows] == [
        (long, 2),
        (f"{long}Q", 1),
    ]
