"""Completion and delivery with a real node, real sockets and a real sender."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
import yaml

from tests.hooks import Receiver, listening
from tests.running import RunningNode, eventually, free_port, shared
from tests.small import small_ct


def manifests(node: RunningNode) -> list[Path]:
    return sorted((node.root / "nifti").rglob("*.manifest.json"))


def warmed_up(node: RunningNode, folder: Path) -> RunningNode:
    """A node that is past its start: its processes have worked once."""
    node.send(*small_ct(folder / "first", 3, announced=True))
    eventually(lambda: manifests(node), 20, "the first volume is there")
    for path in manifests(node):
        path.unlink()
    return node


def wait_for_manifest(node: RunningNode, seconds: float) -> dict[str, Any]:
    (path,) = eventually(lambda: manifests(node), seconds, "a manifest is there")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


@pytest.fixture
def quick(tmp_path: Path) -> RunningNode:
    """A node that gives up waiting soon."""
    return RunningNode(tmp_path, {"completion": {"quiet_seconds": 0.4}})


def test_a_series_with_proof_is_a_volume_within_two_seconds(
    node: RunningNode, tmp_path: Path
) -> None:
    paths = small_ct(tmp_path / "ct", 60, announced=True)
    warmed_up(node, tmp_path).send(*paths)
    sent = time.monotonic()
    manifest = wait_for_manifest(node, 2.0)
    assert time.monotonic() - sent < 2.0
    assert (manifest["verdict"], manifest["revision"]) == ("complete", 1)


def test_a_time_series_of_the_corpus_with_proof(node: RunningNode, tmp_path: Path) -> None:
    source = shared("corpus/ge-multiphase-dwi/SliceTimingMPh/2_fMRI_Multiphase_Des")
    warmed_up(node, tmp_path).send(*sorted(source.glob("*.dcm")))
    manifest = wait_for_manifest(node, 2.0)
    assert manifest["verdict"] == "complete"
    assert manifest["shape"][3] == 10


def test_without_proof_it_takes_the_quiet_time_and_no_more(
    node: RunningNode, tmp_path: Path
) -> None:
    warmed_up(node, tmp_path).send(*small_ct(tmp_path / "ct", 20, announced=False))
    sent = time.monotonic()
    manifest = wait_for_manifest(node, 8.0)
    assert time.monotonic() - sent > 4.5
    assert manifest["verdict"] == "unknown"


def test_a_withheld_slice_is_named_held_and_taken_when_it_comes(
    quick: RunningNode, tmp_path: Path
) -> None:
    paths = small_ct(tmp_path / "ct", 30, announced=True)
    node = quick.start()
    try:
        node.send(*paths[:11], *paths[12:])
        (held,) = node.settle(60, states=["held"])
        assert held["verdict"] == "incomplete"
        assert "27.5 mm" in json.dumps(held["evidence"])
        assert manifests(node) == []

        node.send(paths[11])
        sent = time.monotonic()
        manifest = wait_for_manifest(node, 2.0)
        assert time.monotonic() - sent < 2.0
        assert (manifest["verdict"], manifest["revision"]) == ("complete", 1)
        image = nib.load(manifests(node)[0].with_name(manifest["image"]))
        assert image.shape == (32, 32, 30)
    finally:
        node.kill()


def test_a_person_forces_a_series_and_the_history_knows(quick: RunningNode, tmp_path: Path) -> None:
    paths = small_ct(tmp_path / "ct", 30, announced=True)
    node = quick.start()
    try:
        node.send(*paths[:29])  # the tail is lost: a regular stack, but fewer than announced
        (held,) = node.settle(60, states=["held"])
        node.rasnode("force", held["series_instance_uid"])
        manifest = wait_for_manifest(node, 10.0)
        assert (manifest["verdict"], manifest["shape"]) == ("incomplete", [32, 32, 29])
        assert node.rasnode("retry", "1.2.3", check=False).returncode == 1
    finally:
        node.kill()


def configured(folder: Path, deliver: list[dict[str, Any]], **sections: Any) -> RunningNode:
    """A node that delivers, not started."""
    folder.mkdir(exist_ok=True)
    node = RunningNode(folder, sections)
    config = yaml.safe_load(node.config.read_text())
    node.config.write_text(yaml.safe_dump({**config, "deliver": deliver}))
    return node


def hooked(folder: Path, receiver: Receiver) -> RunningNode:
    hook = {"url": receiver.url, "secret": "a secret of sixteen"}
    target = {"name": "hook", "events": ["ready", "superseded", "held"], "webhook": hook}
    return configured(folder, [target], completion={"quiet_seconds": 0.4})


def test_a_receiver_that_is_down_for_the_whole_send_gets_everything_in_order(
    tmp_path: Path,
) -> None:
    receiver = Receiver(free_port())
    node = hooked(tmp_path, receiver).start()
    try:
        paths = small_ct(tmp_path / "ct", 12, announced=False)
        node.send(*paths[:10])
        node.settle(60, states=["ready"])
        node.send(*paths[10:])
        node.settle(60, states=["ready"])
        node.send(*small_ct(tmp_path / "other", 5, announced=True))
        node.settle(60, states=["ready"])
        assert node.terminate() == 0
        node.start()
        with listening(receiver):
            eventually(lambda: len(receiver.came) >= 4, 20, "everything is delivered")
        assert receiver.events() == [
            ("ready", 1),
            ("superseded", 2),
            ("ready", 2),
            ("ready", 1),
        ]
        assert all(item["key"] == item["header_key"] for item in receiver.came)
    finally:
        node.kill()


def test_a_command_and_a_folder_get_what_is_made(tmp_path: Path) -> None:
    share, told = tmp_path / "share", tmp_path / "told"
    share.mkdir()
    tell = {"run": ["/bin/cp", "{image}", str(told)]}
    node = configured(
        tmp_path,
        [
            {"name": "share", "folder": {"path": str(share)}},
            {"name": "tell", "events": ["ready"], "when": {"Modality": "CT"}, "command": tell},
            {"name": "never", "when": {"Modality": "MR"}, "command": {"run": ["/bin/false"]}},
        ],
    )
    node.start()
    try:
        node.send(*small_ct(tmp_path / "ct", 12, announced=True))
        wait_for_manifest(node, 20.0)
        eventually(told.exists, 10, "the command has run")
        eventually(lambda: list(share.rglob("*.manifest.json")), 10, "the folder has it")
        made = node.root / "nifti"
        assert {path.relative_to(share) for path in share.rglob("*.*") if path.is_file()} == {
            path.relative_to(made) for path in made.rglob("*.*") if path.is_file()
        }
        (series,) = node.series()
        tried = node.rasnode("rules", "--series", series["series_instance_uid"]).stdout
        assert tried.splitlines() == [
            "share: yes",
            "tell: yes",
            "never: no: Modality is 'CT', not MR",
        ]
    finally:
        node.kill()


def test_forwarding_brings_the_instances_to_a_peer_that_then_proves_them(tmp_path: Path) -> None:
    """The second node asks the first one back how many instances there are."""
    ports = free_port(), free_port()
    peers = [
        {"name": "other", "ae_title": "SECOND", "host": "127.0.0.1", "port": ports[1]},
        {"name": "other", "ae_title": "FIRST", "host": "127.0.0.1", "port": ports[0]}
        | {"query_back": True},
    ]
    first, second = (
        configured(
            tmp_path / title,
            [{"name": "on", "forward": {"peer": "other"}}] if title == "FIRST" else [],
            dicom={"ae_title": title, "port": port, "peers": [peer]},
        )
        for title, port, peer in zip(("FIRST", "SECOND"), ports, peers, strict=True)
    )
    first.port, second.port = ports
    first.start()
    second.start()
    try:
        warmed_up(second, tmp_path)
        first.send(*small_ct(tmp_path / "ct", 12, announced=False))
        eventually(lambda: manifests(first), 20, "the first has made it")
        manifest = wait_for_manifest(second, 4.0)  # less than the quiet time: by proof
        assert manifest["verdict"] == "complete"
        assert "FIRST answers that the series has 12" in json.dumps(manifest["evidence"])
    finally:
        first.kill()
        second.kill()
