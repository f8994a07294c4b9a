"""Series are compared with the expected protocol as soon as they are volumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.assemble.protocol import Deviation, described
from node.convert import OutputOptions, read_folder
from node.convert.planning import planned_volumes
from node.core.errors import ConfigError
from node.core.output_rules import OutputRule
from node.core.settings.deliver import TargetSettings
from node.core.settings.expect import ExpectSettings
from node.deliver.payload import payload
from node.deliver.rules import Rules
from node.lifecycle.expectations import Expectations
from tests.phantom import ROOT, save
from tests.unit.lifecycle.test_split_runs import World, run

NO_SCOUT = ({"SeriesDescription": ("scout*",)}, {}, None)


def protocol(folder: Path, **changes: object) -> Path:
    """The protocol file of the run, with changes."""
    save([one for volume in run() for one in volume], folder / "session")
    (series,) = read_folder([folder / "session"])[0]
    (volume,) = planned_volumes(series.instances, OutputOptions())
    path = folder / "protocol.json"
    path.write_text(json.dumps({"series": [{**described(volume), **changes}]}))
    return path


def world(folder: Path, **settings: object) -> World:
    settings["protocol"] = settings.get("protocol") or protocol(folder)
    expect = ExpectSettings.model_validate(settings)
    made = World(
        folder / "node",
        expectations=Expectations([expect]),
        options=OutputOptions(quality=True),
    )
    for volume in run():
        made.receive(volume)
    made.bench.run(10.0)
    return made


def test_a_series_as_expected_is_no_event(tmp_path: Path) -> None:
    found = world(tmp_path)
    assert found.kinds() == ["ready"]
    assert found.stands().verdict["drift"] == []
    found.bench.index.close()


def test_a_parameter_that_differs_is_an_event_with_the_values(tmp_path: Path) -> None:
    found = world(tmp_path, protocol=protocol(tmp_path, RepetitionTime=2.2, volumes=9))
    assert found.kinds() == ["ready", "protocol-drift"]
    (event,) = [one for one in found.events if one.event_type == "protocol-drift"]
    sent = payload(event, "key", "/nifti")
    assert [one["parameter"] for one in sent["drift"]] == ["RepetitionTime", "volumes"]
    assert (sent["drift"][0]["expected"], sent["drift"][0]["found"]) == (2.2, 2.0)
    assert sent["drift"][0]["protocol"] == "protocol.json"
    assert [one["parameter"] for one in found.stands().verdict["drift"]] == [
        "RepetitionTime",
        "volumes",
    ]
    found.bench.index.close()


def test_tolerances_and_conditions_hold(tmp_path: Path) -> None:
    other = protocol(tmp_path, RepetitionTime=2.2)
    wide = world(tmp_path / "1", protocol=other, tolerances={"RepetitionTime": 0.3})
    assert wide.kinds() == ["ready"]
    wide.bench.index.close()
    elsewhere = world(tmp_path / "2", protocol=other, when={"SeriesDescription": "T1*"})
    assert elsewhere.kinds() == ["ready"]
    elsewhere.bench.index.close()
    here = world(tmp_path / "3", protocol=other, when={"SeriesDescription": "bo*"})
    assert here.kinds() == ["ready", "protocol-drift"]
    here.bench.index.close()


def test_conditions_ask_for_the_called_title_and_the_verdict_too(tmp_path: Path) -> None:
    other = protocol(tmp_path, RepetitionTime=2.2)
    for number, (when, kinds) in enumerate(
        (
            ({"CalledAETitle": "RASNODE"}, ["ready", "protocol-drift"]),
            ({"CalledAETitle": "ELSEWHERE"}, ["ready"]),
            ({"Verdict": "unknown"}, ["ready", "protocol-drift"]),
        )
    ):
        found = world(tmp_path / str(number), protocol=other, when=when)
        assert found.kinds() == kinds
        found.bench.index.close()


def target(name: str, events: list[str], **more: object) -> TargetSettings:
    way = {} if "forward" in more else {"webhook": {"url": "http://127.0.0.1:9/"}}
    return TargetSettings.model_validate({"name": name, "events": events, **way, **more})


def test_a_series_of_the_protocol_that_a_study_lacks_is_an_event_of_the_study(
    tmp_path: Path,
) -> None:
    both = protocol(tmp_path)
    (bold,) = json.loads(both.read_text())["series"]
    absent = {**bold, "series": "T1w"}
    both.write_text(json.dumps({"series": [bold, absent]}))
    targets = [
        target("drift", ["protocol-drift"]),
        target("studies", ["study-ready", "superseded"]),
        target("elsewhere", ["protocol-drift"], when={"CalledAETitle": "OTHER"}),
        target("peer", ["protocol-drift"], forward={"peer": "PACS"}),
    ]
    rules = Rules(targets, tmp_path)
    made = World(
        tmp_path / "node",
        expectations=Expectations(
            [ExpectSettings(protocol=both, when={"CalledAETitle": ("RASNODE",)})]
        ),
        study_rules=rules.of_study,
    )
    for volume in run():
        made.receive(volume)
    other = made.bench.open(called="OTHER")
    made.receive(run(2, number=9, root=f"{ROOT}.7")[0], other, SeriesDescription="other")
    made.bench.end(other)
    made.bench.run(50.0)
    assert told_of_studies(made) == []
    made.bench.run(30.0)
    ready, drift = told_of_studies(made)
    assert [(one["event"], one["revision"]) for one in (ready, drift)] == [
        ("study-ready", 1),
        ("protocol-drift", 1),
    ]
    (lacking,) = drift["drift"]
    assert lacking == ready["drift"][0]
    assert (lacking["series"], lacking["parameter"]) == ("T1w", "missing series")
    assert (lacking["expected"], lacking["found"], lacking["unit"]) == (1, 0, "series")
    assert lacking["sentence"] == "T1w: the series is missing"
    assert lacking["protocol"] == "protocol.json"
    assert set(lacking) == {*Deviation._fields, "sentence", "protocol"}
    made.bench.run(3600.0)
    made.bench.restart()
    late = run(2, number=8, root=f"{ROOT}.8")[0]
    for one in late:
        one.SeriesDescription = "T1w"
    made.receive(late, SeriesDescription="T1w")
    made.bench.run(200.0)
    events = [(one["event"], one["revision"]) for one in told_of_studies(made)[2:]]
    assert events == [("superseded", 1), ("study-ready", 2)]
    (study,) = made.bench.studies.with_uid(f"{ROOT}.4")
    assert (study.verdict or {})["drift"] == []
    made.bench.index.close()


def told_of_studies(world: World) -> list[dict[str, Any]]:
    rows = [one.pk for one in world.bench.work.in_state()]
    found = [one for row in rows for one in world.bench.outbox.of_series(row)]
    return [one.payload for one in sorted(found, key=lambda one: one.id)]


def test_a_refused_series_is_not_missing_and_protocols_can_change_while_the_node_runs(
    tmp_path: Path,
) -> None:
    both = protocol(tmp_path)
    (bold,) = json.loads(both.read_text())["series"]
    both.write_text(json.dumps({"series": [bold, {**bold, "series": "scout"}]}))
    made = World(tmp_path / "node", output_rules=[OutputRule(*NO_SCOUT), OutputRule({}, {}, "all")])
    made.bench.expectations = Expectations([ExpectSettings(protocol=both)])
    for volume in run():
        made.receive(volume)
    scout = run(2, number=8, root=f"{ROOT}.8")[0]
    made.receive(scout, SeriesDescription="scout")
    made.bench.run(200.0)
    assert sorted(made.states().values()) == ["joined"] * 3 + ["not-a-volume", "ready"]
    (study,) = made.bench.studies.with_uid(f"{ROOT}.4")
    assert (study.verdict or {})["drift"] == []
    made.bench.index.close()


@pytest.mark.parametrize(
    ("text", "tolerances", "part"),
    [
        ("{}", {}, "rasnode protocol"),
        ("[", {}, "rasnode protocol"),
        ('{"series": [1]}', {}, "rasnode protocol"),
        ('{"series": []}', {"FlipAngel": 1}, "did you mean FlipAngle?"),
        (None, {}, "cannot read"),
    ],
)
def test_what_is_wrong_with_a_protocol_is_said(
    text: str | None, tolerances: dict[str, float], part: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=part.replace("?", r"\?")):
        Expectations([ExpectSettings(protocol=path, tolerances=tolerances)])
