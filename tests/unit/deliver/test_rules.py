"""Rules: which series a delivery is for, and what it says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.core.events import EventType, SeriesEvent
from node.core.records import SeriesState, Verdict
from node.core.settings.deliver import TargetSettings
from node.deliver.payload import payload
from node.deliver.rules import Rules

ATTRIBUTES = {
    "Modality": "MR",
    "SeriesDescription": "T1 MPRAGE sag",
    "SeriesNumber": "3",
    "BodyPartExamined": "BRAIN",
    "PatientName": "Doe^John",
    "PatientID": "4711",
    "OperatorsName": ["A", "B"],
}
EVENT = SeriesEvent(
    event_type=EventType.READY,
    series_uid="1.5",
    study_uid="1.4",
    occasion="revision 1",
    revision=1,
    at=0.0,
    state=SeriesState.READY,
    verdict=Verdict.COMPLETE,
    files=("a.nii.gz",),
    attributes=ATTRIBUTES,
    senders=("CT1", "MR2"),
)


def target(**settings: Any) -> TargetSettings:
    return TargetSettings.model_validate({"name": "t", "folder": {"path": "/a"}, **settings})


@pytest.mark.parametrize(
    ("settings", "why_not"),
    [
        ({}, ""),
        ({"when": {"Modality": "MR"}}, ""),
        ({"when": {"Modality": ["CT", "mr"]}}, ""),
        ({"when": {"SeriesDescription": "*t1*", "BodyPartExamined": "BRAIN"}}, ""),
        ({"when": {"SeriesNumber": 3}}, ""),
        ({"when": {"CallingAETitle": "mr?"}}, ""),
        ({"when": {"Verdict": "complete"}}, ""),
        ({"when": {"OperatorsName": "B"}}, ""),
        ({"when": {"Modality": "CT"}}, "Modality is 'MR', not CT"),
        ({"when": {"Modality": "MR", "BodyPartExamined": "KNEE"}}, "BodyPartExamined is 'BRAIN'"),
        ({"when": {"StationName": "*"}}, "StationName is absent"),
        ({"unless": {"SeriesDescription": "*mprage*"}}, "which is left out"),
        ({"unless": {"StationName": "X"}}, ""),
        ({"events": ["failed"]}, "its events are failed, not ready"),
    ],
)
def test_conditions(settings: dict[str, Any], why_not: str) -> None:
    refusal = target(**settings).refusal(EVENT)
    assert why_not in refusal if why_not else refusal == ""
    chosen = Rules([target(**settings)], Path("/out"))(EVENT)
    assert bool(chosen) is not bool(why_not)


def test_keys_are_the_same_for_the_same_event_and_differ_otherwise() -> None:
    from dataclasses import replace

    keys = {
        EVENT.key("t"),
        EVENT.key("u"),
        replace(EVENT, event_type=EventType.SUPERSEDED).key("t"),
        replace(EVENT, occasion="revision 2").key("t"),
        replace(EVENT, series_uid="1.6").key("t"),
    }
    assert len(keys) == 5
    assert replace(EVENT, at=9.0, files=()).key("t") == EVENT.key("t")


def test_a_payload_names_no_patient() -> None:
    said = payload(EVENT, "k", "/out")
    assert "Doe" not in str(said)
    assert "4711" not in str(said)
    assert said["files"] == ["a.nii.gz"]
    assert said["series_number"] == "3"


def test_rules_tell_why_not() -> None:
    rules = Rules([target(), target(name="u", when={"Modality": "CT"})], Path("/out"))
    assert rules.refusals(EVENT) == {"t": "", "u": "Modality is 'MR', not CT"}
