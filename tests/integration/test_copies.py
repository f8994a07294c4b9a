"""Copies and contradictions, by real clients against a real node: nothing is withdrawn or mixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.running import RunningNode, configured, eventually, free_port
from tests.small import small_ct

FIND = StudyRootQueryRetrieveInformationModelFind
GET = StudyRootQueryRetrieveInformationModelGet
SLICES = 6
HTTP = free_port()


@dataclass
class World:
    """A node and what it was sent: the original, its copies, and a torn series."""

    node: RunningNode
    share: Path
    original: list[Path]
    copy: list[Path]  # by an anonymizer that keeps every UID
    moved: list[Path]  # by a workstation, into another study
    torn: list[Path]
    ready: dict[str, Any]  # the original, as it was before the others came

    def series(self) -> dict[str, dict[str, Any]]:
        return {one["address"]: one for one in self.node.series()}

    def ask(self, path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{HTTP}{path}", timeout=20) as answer:
            return json.load(answer)


def changed(paths: list[Path], folder: Path, change: Callable[[Dataset], None]) -> list[Path]:
    folder.mkdir()
    made = []
    for path in paths:
        image = dcmread(path)
        change(image)
        made.append(folder / path.name)
        image.save_as(made[-1])
    return made


def anonymous(image: Dataset) -> None:
    image.PatientID, image.PatientName = "ANON", "Anon"


def bobs(image: Dataset) -> None:
    image.PatientID, image.PatientName, image.PatientBirthDate = "BOB", "Bob", "19700101"


@contextmanager
def associated(node: RunningNode, take: Callable[[evt.Event], int]) -> Iterator[Association]:
    """One for each request: between two of them pynetdicom may take an answer for a request."""
    ae = AE("TESTER")
    for context in (FIND, GET, CTImageStorage):
        ae.add_requested_context(context)
    peer = ae.associate(
        "127.0.0.1",
        node.port,
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, take)],
    )
    assert peer.is_established
    yield peer
    peer.release()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("copies")
    share = folder / "share"
    share.mkdir()
    deliver = [{"name": "share", "folder": {"path": str(share)}, "events": ["ready"]}]
    settings = {
        "http": {"port": HTTP},
        "output": {"name": "{SeriesDescription}"},
        "completion": {"quiet_seconds": 0.5},
    }
    node = configured(folder / "node", deliver, **settings).start()
    try:
        original = small_ct(folder / "a", SLICES, announced=True, description="T1")
        node.send(*original)
        (ready,) = node.settle(states=["ready"])
        study = generate_uid()

        def elsewhere(image: Dataset) -> None:
            image.StudyInstanceUID = study
            image.SeriesDescription = "T1.manifest"

        copy = changed(original, folder / "copy", anonymous)
        moved = changed(original, folder / "moved", elsewhere)
        halves = small_ct(folder / "b", 2 * SLICES, announced=False, description="t1")
        torn = halves[::2] + changed(halves[1::2], folder / "torn", bobs)
        node.send(*copy, *moved, *torn)
        eventually(lambda: len(node.series()) == 5, 20, "the series are known")
        node.settle()
        yield World(node, share, original, copy, moved, torn, ready)
    finally:
        node.kill()


def test_the_first_volume_stays_and_each_copy_is_one(world: World) -> None:
    series = world.series()
    uid = world.ready["series_instance_uid"]
    original, copy, moved = series[uid], series[f"{uid}~1"], series[f"{uid}~2"]
    for one in (original, copy, moved):
        assert (one["state"], one["instances"], one["revision"]) == ("ready", SLICES, 1)
        assert {told["shared"] for told in one["shares"]} == {"series-uid", "instance-uids"}
    assert original["outputs"] == world.ready["outputs"]
    assert original["study_instance_uid"] == copy["study_instance_uid"]
    names = [name for one in (original, copy, moved) for name in one["outputs"]]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(Path(name).is_file() for name in names)


def test_a_torn_series_is_refused_by_name_and_names_nobody(world: World) -> None:
    uid = str(dcmread(world.torn[0]).SeriesInstanceUID)
    for address in (uid, f"{uid}~1"):
        one = world.series()[address]
        assert (one["state"], one["outputs"]) == ("not-a-volume", [])
        assert one["why"].startswith("contradictory-identity: ")
        assert one["shares"]
    for identifier in ("SMALL", "Small", "BOB", "ANON"):
        assert identifier not in world.node.log.read_text()


def test_everything_is_found_and_fetched_as_its_own_patients(world: World) -> None:
    sent = {"SMALL": [], "ANON": [], "BOB": []}  # type: dict[str, list[bytes]]
    studies: dict[str, set[str]] = {name: set() for name in sent}
    for path in (*world.original, *world.copy, *world.moved, *world.torn):
        image = dcmread(path)
        sent[image.PatientID].append(image.PixelData + image.StudyInstanceUID.encode())
        studies[image.PatientID].add(image.StudyInstanceUID)

    got: list[Dataset] = []

    def take(event: evt.Event) -> int:
        got.append(event.dataset)
        return 0x0000

    for patient, expected in studies.items():
        keys = Dataset()
        keys.QueryRetrieveLevel, keys.PatientID, keys.StudyInstanceUID = "STUDY", patient, ""
        with associated(world.node, take) as peer:
            found = [answer for _, answer in peer.send_c_find(keys, FIND) if answer is not None]
        assert {str(answer.StudyInstanceUID) for answer in found} == expected
    for study in set.union(*studies.values()):
        keys = Dataset()
        keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", study
        with associated(world.node, take) as peer:
            (*_, (status, _)) = peer.send_c_get(keys, GET)
        assert status.Status == 0x0000
    for patient, expected_bytes in sent.items():
        assert sorted(
            one.PixelData + one.StudyInstanceUID.encode() for one in got if one.PatientID == patient
        ) == sorted(expected_bytes)


def test_the_page_and_commands_tell_them_apart(world: World) -> None:
    listed = {one["address"]: one for one in world.ask("/api/series")["series"]}
    assert listed.keys() == world.series().keys()
    uid = world.ready["series_instance_uid"]
    first, other = world.ask(f"/api/series/{uid}"), world.ask(f"/api/series/{uid}~1")
    assert (first["address"], other["address"]) == (uid, f"{uid}~1")
    assert {told["address"] for told in first["shares"]} == {f"{uid}~1", f"{uid}~2"}
    assert other["picture"].startswith(f"/api/series/{uid}~1/files/")
    assert any("see series" in step["why"] for step in first["history"])
    with pytest.raises(HTTPError, match="404"):
        world.ask(f"/api/series/{uid}~9")

    held = world.node._said("hold", f"{uid}~1")
    assert "held" in held
    assert world.series()[f"{uid}~1"]["state"] == "held"
    assert world.series()[uid]["state"] == "ready"
    world.node._said("hold", "--release", f"{uid}~1")
    world.node.settle()
    assert world.series()[f"{uid}~1"]["state"] == "ready"
    told = world.node._said("status")
    assert f"{uid}~1" in told
    assert "another study or patient has a series of the same Series Instance UID" in told
    history = world.node._said("ls", "--history", f"{uid}~1")
    assert "another series has some of the same SOP Instance UIDs" in history


def test_the_folder_has_the_files_of_each(world: World) -> None:
    def names() -> set[str]:
        return {path.name for path in world.share.iterdir() if not path.name.startswith(".")}

    expected = {
        Path(name).name for one in world.series().values() for name in one["outputs"]
    }  # fmt: skip
    assert len(expected) == 4 * 3
    eventually(lambda: names() == expected, 10, f"{expected} in the folder, not {names()}")
