"""Studies in the index and in the outbox, on either database; two projects on two AE titles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from node.completion.facts import InstanceFacts, Source
from node.completion.study_decision import StudyStatement
from node.core.events import NewDelivery, SeriesEvent, StudyEvent
from node.core.records import StudyState
from node.core.settings.deliver import TargetSettings
from node.core.settings.model import PeerSettings
from node.core.settings.peer_names import names_of_peers
from node.deliver.rules import Rules
from node.storage.index.peers.announced import Announced, StepState
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack

EVENTS = ["study-ready", "superseded", "ready"]


def target(name: str, **more: Any) -> TargetSettings:
    way = {"webhook": {"url": "http://127.0.0.1:9/"}}
    return TargetSettings.model_validate({"name": name, "events": EVENTS, **way, **more})


def instances(series: str, size: int = 3) -> list[InstanceFacts]:
    return [item._replace(uid=f"{series}.{item.number}") for item in stack(size)]


@pytest.fixture
def node(bench: Bench, tmp_path: Path) -> Bench:
    return listening(bench, tmp_path, target("all", events=["study-ready", "superseded"]))


def listening(bench: Bench, folder: Path, *targets: TargetSettings) -> Bench:
    rules = Rules(targets, folder)

    def of_series(event: SeriesEvent) -> Sequence[NewDelivery]:
        return rules(event)

    def of_study(event: StudyEvent) -> Sequence[NewDelivery]:
        return rules.of_study(event)

    bench._rules, bench._study_rules = of_series, of_study
    bench.restart()
    return bench


def told(node: Bench, name: str = "all") -> list[tuple[str, int]]:
    return [(one["event"], one["revision"]) for one in payloads(node, name)]


def payloads(node: Bench, name: str = "all") -> list[dict[str, Any]]:
    pks = [series.pk for series in node.work.in_state()]
    found = sorted((one for pk in pks for one in node.outbox.of_series(pk)), key=lambda x: x.id)
    return [one.payload for one in found if one.target == name and one.payload["level"] == "study"]


def test_silence_makes_a_study_ready_and_a_late_series_supersedes_it_once(node: Bench) -> None:
    node.deliver(instances("1.5"), "1.5")
    node.run(30)
    node.deliver(instances("1.6"), "1.6", SeriesDescription="second")
    node.run(59)
    assert told(node) == []
    node.run(10)
    assert told(node) == [("study-ready", 1)]
    node.run(7200)
    node.restart()
    node.deliver(instances("1.7"), "1.7", SeriesDescription="late")
    node.run(1)
    (study,) = node.studies.with_uid("1.4")
    assert study.state is StudyState.RECEIVING
    node.run(300)
    assert told(node) == [("study-ready", 1), ("superseded", 1), ("study-ready", 2)]
    first, _, second = payloads(node)
    assert [one["address"] for one in first["series"]] == ["1.5", "1.6"]
    assert [one["address"] for one in second["series"]] == ["1.5", "1.6", "1.7"]
    assert second["verdict"] == "unknown"
    assert {one["state"] for one in second["series"]} == {"ready"}
    assert len(second["files"]) == sum(len(one["outputs"]) for one in second["series"]) > 0
    node.deliver(instances("1.6"), "1.6")
    node.run(7200)
    node.restart()
    node.run(7200)
    assert len(told(node)) == 3


def test_a_performed_step_proves_a_study_complete_without_a_timer(node: Bench) -> None:
    announced = Announced(node.index)
    announced.create_step("9", "CT1", StepState.IN_PROGRESS, {}, node.now, ["1.4"])
    node.deliver(instances("1.5"), "1.5")
    node.run(3000)
    assert told(node) == []
    listed = {uid: [one.uid for one in instances(uid)] for uid in ("1.5", "1.6")}
    announced.update_step("9", StepState.COMPLETED, listed, node.now)
    node.run(9000)
    assert told(node) == []
    (study,) = node.studies.with_uid("1.4")
    assert (study.state, (study.verdict or {})["verdict"]) == (StudyState.WAITING, "incomplete")
    node.deliver(instances("1.6"), "1.6", SeriesDescription="second")
    node.run(1)
    assert told(node) == [("study-ready", 1)]
    (payload,) = payloads(node)
    assert payload["verdict"] == "complete"
    assert "mpps" in {one["source"] for one in payload["reasons"]}


def test_an_availability_notice_announces_series(node: Bench) -> None:
    Announced(node.index).available("9", "PACS", {"1.5": [], "1.6": []}, node.now, "1.4")
    node.deliver(instances("1.5"), "1.5")
    node.run(9000)
    assert told(node) == []


def test_two_jobs_for_parts_of_a_study_announce_both(node: Bench) -> None:
    for uid in ("1.5", "1.6"):
        said = StudyStatement(Source.PULL, "P", node.now, whole=False, series=frozenset({uid}))
        node.study_statements.add("1.4", said, "P")
    node.deliver(instances("1.5"), "1.5")
    node.run(9000)
    assert told(node) == []


def test_projects_on_two_titles_never_mix(bench: Bench, tmp_path: Path) -> None:
    node = listening(
        bench,
        tmp_path,
        target("a", when={"CalledAETitle": "PROJ_A"}),
        target("b", when={"CalledAETitle": "PROJ_B"}),
        target("no-b", unless={"CalledAETitle": "PROJ_B"}),
    )
    opened = {called: node.open("CT1", called) for called in ("PROJ_A", "PROJ_B")}
    sent = {called: f"1.5.{number}" for number, called in enumerate(opened)}
    for slices in zip(*(instances(uid, 6) for uid in sent.values()), strict=True):
        for called, item in zip(opened, slices, strict=True):
            node.send(opened[called], [item], sent[called], SeriesDescription=called)
    for association in opened.values():
        node.end(association)
    node.run(300)
    for name, called in (("a", "PROJ_A"), ("b", "PROJ_B"), ("no-b", "PROJ_A")):
        other = next(uid for title, uid in sent.items() if title != called)
        every = [one for series in node.work.in_state() for one in node.outbox.of_series(series.pk)]
        mine = [one.payload for one in every if one.target == name]
        assert {one["event"] for one in mine} == {"ready", "study-ready"}
        assert sent[called] in str(mine)
        assert f"'{other}'" not in str(mine)
    arrivals = {uid: node.work.arrivals(node.series(uid).pk) for uid in sent.values()}
    assert {uid: one.called_ae for uid, (one,) in arrivals.items()} == {
        uid: called for called, uid in sent.items()
    }


def test_a_series_of_two_titles_is_for_both_projects(bench: Bench, tmp_path: Path) -> None:
    node = listening(
        bench,
        tmp_path,
        target("a", when={"CalledAETitle": "PROJ_A"}),
        target("b", when={"CalledAETitle": "PROJ_B"}),
        target("not-b", when={"CalledAETitle": "PROJ_A"}, unless={"CalledAETitle": "PROJ_B"}),
    )
    first, second = node.open("CT1", "PROJ_A"), node.open("CT1", "PROJ_B")
    every = instances("1.5", 4)
    node.send(first, every[:2])
    node.send(second, every[2:])
    node.end(first)
    node.end(second)
    node.run(300)
    found = {one.target for one in node.outbox.of_series(node.series().pk)}
    assert found == {"a", "b"}


def test_conditions_ask_for_image_types_and_peers(bench: Bench, tmp_path: Path) -> None:
    bench._peer_names = lambda title, _address: [f"name of {title}"]
    node = listening(
        bench,
        tmp_path,
        target("derived", when={"ImageType": "DERIVED"}),
        target("localizer", when={"ImageType": "LOCALIZER"}),
        target("peer", when={"Peer": "name of CT1"}),
        target("job", when={"PullJob": "*"}),
    )
    association = node.open()
    types: Any = ["DERIVED", "PRIMARY", "AXIAL"]
    node.send(association, instances("1.5"), ImageType=types)
    node.end(association)
    node.run(300)
    assert {one.target for one in node.outbox.of_series(node.series().pk)} == {"derived", "peer"}


def test_a_peer_is_named_only_if_it_is_known_which_one_it_is() -> None:
    def peer(name: str, title: str, host: str) -> PeerSettings:
        values = {"name": name, "ae_title": title, "host": host, "port": 104}
        return PeerSettings.model_validate(values)

    peers = [peer("a", "CT", "10.0.0.1"), peer("b", "CT", "10.0.0.2"), peer("c", "MR", "mr.local")]
    assert names_of_peers(peers, "CT", "10.0.0.2") == ["b"]
    assert names_of_peers(peers, "CT", "10.0.0.3") == []
    assert names_of_peers(peers, "MR", "10.0.0.3") == ["c"]


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ({"folder": {"path": "/a"}}, "use the event ready"),
        ({"forward": {"peer": "P"}}, "use the event ready"),
        ({"command": {"run": ["x"], "results": {"send": "P"}}}, "an entry of its own"),
    ],
)
def test_what_takes_series_takes_no_studies(way: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        TargetSettings.model_validate({"name": "t", "events": ["study-ready"], **way})
