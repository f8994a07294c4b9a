"""Series are compared with the expected protocol as soon as they are volumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.assemble.protocol import described
from node.convert import OutputOptions, read_folder
from node.convert.series import planned_volumes
from node.core.errors import ConfigError
from node.core.settings.expect import ExpectSettings
from node.deliver.payload import payload
from node.lifecycle.expectations import Expectations
from tests.phantom import save
from tests.unit.lifecycle.test_split_runs import World, run


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
