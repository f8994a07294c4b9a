"""Every question that a list can ask is understood by both databases."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import insert

from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import ArrivalRow, AssociationRow, PatientRow, SeriesRow, StudyRow
from node.storage.index.search.changes import Changes
from node.storage.index.search.finding import Finder, Place, Sort
from node.storage.index.search.wanted import Wanted

QUESTIONS = (
    Wanted(),
    Wanted(text="Schädel 50%", identifiers=True),
    Wanted(states=(SeriesState.READY,), modalities=("CT",), first="20250101", last="20251231"),
    Wanted(text="a", senders=("CT1",), projects=("RASNODE",)),
)


@pytest.mark.parametrize("wanted", QUESTIONS)
@pytest.mark.parametrize("sort", list(Sort))
def test_every_question_is_understood_in_every_order(
    index: Index, wanted: Wanted, sort: Sort
) -> None:
    finder = Finder(index)
    for after in (None, Place("20250101", 3)):
        assert finder.series(wanted, sort, 5, after) == ([], None)
        assert finder.studies(wanted, sort, 5, after) == ([], None)
    assert finder.of_studies([1], wanted, 5) == {1: ([], 0)}
    assert finder.studies_with([1]) == []
    assert finder.choices() == {"modalities": [], "senders": [], "projects": []}
    assert Changes(index).look() == []


def held(index: Index, *descriptions: str) -> None:
    """One study of one patient, with a series of each description, sent to two projects in turn."""
    person = {"patient_id": "ID-77", "issuer": "", "name": "Müller^Ida", "name_key": "muller^ida"}
    study = {"uid": "1.9.77", "date": "20250101", "description": "Kopf", "accession": "ACC-5"}
    with index.writing() as connection:
        connection.execute(
            insert(PatientRow).values(id=1, birth_date="", sex="", attributes={}, **person)
        )
        connection.execute(
            insert(StudyRow).values(
                id=1,
                patient_pk=1,
                time="",
                study_id="",
                referring="",
                referring_key="",
                modalities="",
                sop_classes="",
                attributes={},
                **study,
            )
        )
        for number in (1, 2):
            connection.execute(
                insert(AssociationRow).values(
                    id=number,
                    calling_ae="CT1",
                    called_ae=f"P{number}",
                    address="",
                    opened_at=0.0,
                    end="released",
                    process="",
                )
            )
        for pk, description in enumerate(descriptions, start=1):
            connection.execute(
                insert(SeriesRow).values(
                    id=pk,
                    uid=f"1.9.{pk}",
                    study_pk=1,
                    modality="MR",
                    number=pk,
                    body_part="",
                    description=description,
                    date="20250101",
                    time="",
                    attributes={},
                    state="ready",
                    state_since=0.0,
                    first_arrival=0.0,
                    last_arrival=0.0,
                )
            )
            connection.execute(
                insert(ArrivalRow).values(
                    series_pk=pk, association_pk=pk % 2 + 1, first_at=0.0, last_at=0.0, instances=1
                )
            )


LONG = "".join(random.Random(5).choices("qrstuvw 02468", k=9000))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(text="axial"), {1, 2}),
        (Wanted(text="SCHÄDEL"), {1}),
        (Wanted(text="50%_"), {2}),
        (Wanted(text="1.9.3"), {3}),
        (Wanted(text="axial kopf"), {1, 2}),
        (Wanted(text="1.9.77"), {1, 2, 3, 4}),
        (Wanted(text="ida", identifiers=True), {1, 2, 3, 4}),
        (Wanted(text="id-7 acc", identifiers=True), {1, 2, 3, 4}),
        (Wanted(text="ida"), set()),
        (Wanted(text="axial", projects=("P1",)), {2}),
        (Wanted(text="axial", modalities=("MR",), first="20250101", last="20250101"), {1, 2}),
        (Wanted(text="axial", modalities=("CT",)), set()),
        (Wanted(projects=("P2",)), {1, 3}),
        (Wanted(text=LONG[:40].split()[0]), {4}),
    ],
)
def test_both_databases_find_the_same(index: Index, wanted: Wanted, found: set[int]) -> None:
    held(index, "Schädel AXIAL", "axial 50%_x", "", LONG)
    finder = Finder(index)
    for sort in Sort:
        page = finder.series(wanted, sort, 10)
        assert (set(page.keys), page.end) == (found, None), sort
        assert finder.studies(wanted, sort, 10).keys == ([1] if found else []), sort


@pytest.mark.parametrize("first", [3, 1000])
@pytest.mark.parametrize(
    "wanted",
    [Wanted(), Wanted(text="axial"), Wanted(projects=("P1",)), Wanted(modalities=("MR",))],
)
@pytest.mark.parametrize("sort", list(Sort))
def test_pages_have_each_series_once_in_order(
    index: Index, wanted: Wanted, sort: Sort, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the rows that are looked at first fill no page."""
    monkeypatch.setattr("node.storage.index.search.finding._FIRST", first)
    held(index, *(f"{'bdac'[number % 4]} axial" for number in range(9)))
    finder, seen, place = Finder(index), list[int](), None
    for _ in range(5):
        page = finder.series(wanted, sort, 2, place)
        seen += page.keys
        place = page.end
        if place is None:
            break
    assert place is None
    names = {pk: "bdac"[(pk - 1) % 4] for pk in range(1, 10) if not wanted.projects or pk % 2 == 0}
    expected = sorted(names, key=lambda pk: (names[pk] if "desc" in sort else "", pk))
    assert seen == (expected[::-1] if sort.backwards else expected)
    assert finder.studies(wanted, sort, 2).keys == [1]
    assert finder.of_studies([1], wanted, 3) == {1: (sorted(names)[:3], len(names))}
