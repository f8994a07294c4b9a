"""Lists: what is found, in which order, and by whom."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import update

from node.storage.index.schema import StudyRow
from node.storage.index.search.finding import Finder, Page
from tests.unit.web.conftest import PATIENT, World


def found(client: httpx.Client, path: str = "/api/series", **asked: Any) -> list[str]:
    """The UIDs of all pages."""
    key = "series_instance_uid" if path == "/api/series" else "study_instance_uid"
    uids: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(50):
        answer = client.get(path, params={"limit": 2, **asked, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        uids += [one[key] for one in page[path.rsplit("/", 1)[1]]]
        if page["next"] is None:
            return uids
        cursor = {"cursor": page["next"]}
    raise AssertionError("no end")


def test_words_are_found_in_parts_whatever_their_case(world: World) -> None:
    head, knee = world.receive("Head axial 50%"), world.receive("KNEE_coronal")
    client = world.client()
    for text, uids in (
        ("head", [head]), ("AXIAL hea", [head]), ("head knee", []), ("%", [head]), ("_", [knee]),
        (head, [head]), ("nee_c", [knee]), ("' OR 1=1 --", []), ("no such text", []),
    ):  # fmt: skip
        assert found(client, search=text) == uids, text


def test_patients_are_found_only_by_whom_the_node_knows(world: World) -> None:
    uid = world.receive("Head")
    client = world.client()
    for text in ("hostile", PATIENT[1], PATIENT[3].lower()):
        assert found(client, search=text) == []
    known = world.operator()
    for text in ("hostile", PATIENT[1], PATIENT[3].lower()):
        assert found(known, search=text) == [uid], text
        assert len(found(known, "/api/studies", search=text)) == 1


def test_studies_name_their_patient_only_to_whom_the_node_knows(world: World) -> None:
    world.receive("Head")
    answer = world.client().get("/api/studies")
    (study,) = answer.json()["studies"]
    assert study["patient"] is None
    assert study["accession"] is None
    assert not any(word in answer.text for word in PATIENT)
    assert (study["state"], study["verdict"], study["revision"]) == ("receiving", None, 0)
    (study,) = world.operator().get("/api/studies").json()["studies"]
    assert study["patient"] == dict(
        zip(("name", "patient_id", "birth_date"), PATIENT, strict=False)
    )
    assert study["accession"] == PATIENT[3]


def test_studies_name_the_series_of_the_protocol_that_they_lack(world: World) -> None:
    world.receive("Head")
    lacking = {
        "series": "T1w",
        "parameter": "missing series",
        "expected": 2,
        "found": 1,
        "difference": 1.0,
        "tolerance": 0.0,
        "unit": "series",
        "sentence": "T1w: the series is missing; there are 1 of 2",
        "protocol": "protocol.json",
    }
    kept = {"verdict": "unknown", "why": "", "drift": [{**lacking, "compared": ["1.2.3"]}]}
    with world.index.writing() as connection:
        connection.execute(update(StudyRow).values(verdict=kept))
    (study,) = world.client().get("/api/studies").json()["studies"]
    assert study["drift"] == [lacking]


@pytest.mark.parametrize("path", ["/api/series", "/api/studies"])
@pytest.mark.parametrize(
    "sort", ["received", "-received", "date", "-date", "description", "-description"]
)
def test_every_page_of_every_order_has_each_once(world: World, path: str, sort: str) -> None:
    for number in range(5):
        world.receive(f"Scan {number % 2}")
    client = world.client()
    everything = found(client, path)
    sorted_ones = found(client, path, sort=sort)
    assert sorted(sorted_ones) == sorted(everything)
    assert len(set(sorted_ones)) == 5
    if sort == "received":
        assert sorted_ones == everything[::-1]
    if path == "/api/series" and sort.endswith("description"):
        rows = client.get(path, params={"sort": sort}).json()["series"]
        names = [row["description"] for row in rows]
        assert names == sorted(names, reverse=sort.startswith("-"))


def test_filters_narrow_together(world: World) -> None:
    ready, waiting = world.receive("Head"), world.receive("Knee")
    world.publish(ready)
    client = world.client()
    assert found(client, state="ready") == [ready]
    assert found(client, state=["ready", "receiving"]) == [waiting, ready]
    assert found(client, state="ready", search="knee") == []
    assert found(client, modality="CT", date="20250304") == [waiting, ready]
    assert found(client, date="20250301-20250303") == []
    assert found(client, date="-20250304") == [waiting, ready]
    assert found(client, modality="MR") == []
    assert found(client, sender="NOBODY") == []
    assert client.get("/api/filters").json()["modalities"] == ["CT"]


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0}, {"limit": 10**9}, {"state": "happy"}, {"date": "tomorrow"}, {"sort": "x;y"},
        {"date": "99999999-0"}, {"cursor": "garbage"}, {"cursor": "WyJkYXRlIiwiIiwxXQ=="},
        {"search": "a" * 6000}, {"sender": "a\0b"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/series", "/api/studies"])
def test_what_cannot_be_asked_is_422(world: World, path: str, asked: dict[str, Any]) -> None:
    assert world.client().get(path, params=asked).status_code == 422


def test_a_search_with_control_characters_is_answered(world: World) -> None:
    world.receive("Head")
    assert world.client().get("/api/series?search=%00%ff%fe").status_code == 200


def test_what_changed_or_went_meanwhile_is_not_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for series and the look at them, one leaves its state and one is removed."""
    uid = world.receive()
    series = world.work.series(uid)
    assert series is not None
    found = Page([series.pk, series.pk + 99], None)
    shown = {1: ([series.pk, series.pk + 99], 2)}
    monkeypatch.setattr(Finder, "series", lambda *_: found)
    monkeypatch.setattr(Finder, "of_studies", lambda *_: shown)
    monkeypatch.setattr(Finder, "studies", lambda *_: Page([1], None))
    client = world.client()
    for state, expected in (("held", []), ("receiving", [uid])):
        asked = {"state": state}
        listed = client.get("/api/series", params=asked).json()["series"]
        (study,) = client.get("/api/studies", params=asked).json()["studies"]
        for rows in (listed, study["series"]):
            assert [one["address"] for one in rows] == expected
