"""Deliveries with a real node: webhooks, commands, folders and peers, down and up again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from tests.acceptance.test_completion import wait_for_manifest, warmed_up
from tests.hooks import Receiver, listening
from tests.running import RunningNode, configured, dcmtk, eventually, free_port, manifests, shared
from tests.small import small_ct


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


@contextmanager
def storescp(port: int, folder: Path) -> Iterator[None]:
    """DCMTK's receiver; it takes nothing compressed."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen([dcmtk("storescp"), "-od", str(folder), str(port)]) as process:
        try:
            yield
        finally:
            process.terminate()


def test_a_peer_that_was_away_gets_what_its_rule_says_uncompressed_if_it_wants(
    tmp_path: Path,
) -> None:
    port, folder = free_port(), tmp_path / "pacs"
    peers = [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port}]
    rule = {"unless": {"SeriesDescription": "other"}, "forward": {"peer": "pacs"}}
    node = configured(
        tmp_path,
        [{"name": "pacs", **rule}],
        completion={"quiet_seconds": 0.4},
        dicom={"peers": peers},
    )
    compressed = sorted(shared("corpus/compressed/compressed_rle/001").glob("*.dcm"))
    wanted = small_ct(tmp_path / "ct", 5, announced=True, description="wanted")
    node.start()
    try:
        node.send(*small_ct(tmp_path / "other", 4, announced=True, description="other"))
        node.send(*wanted)
        node.send(*compressed, options=["-xr"])
        node.settle(60, states=["ready"])
        with storescp(port, folder):
            expected = {image.SOPInstanceUID: image for image in map(dcmread, wanted + compressed)}
            came = eventually(
                lambda: len(found := list(folder.iterdir())) >= len(expected) and found,
                60,
                "the peer has everything",
            )
            eventually(lambda: waiting(node) == 0, 20, "the deliveries are noted")
        got = {image.SOPInstanceUID: image for image in map(dcmread, came)}
        assert got.keys() == expected.keys()
        for uid, image in got.items():
            assert not image.file_meta.TransferSyntaxUID.is_compressed
            np.testing.assert_array_equal(image.pixel_array, expected[uid].pixel_array)
    finally:
        node.kill()


def waiting(node: RunningNode) -> int:
    found: int = deliveries(node)["counts"]["pending"]
    return found


def deliveries(node: RunningNode) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.rasnode("status", "--json").stdout)["deliveries"]
    return found


def test_what_a_receiver_refuses_for_good_is_seen_and_can_be_tried_again(tmp_path: Path) -> None:
    with listening() as receiver:
        receiver.status = 410
        node = hooked(tmp_path, receiver).start()
        try:
            node.send(*small_ct(tmp_path / "ct", 4, announced=True))
            node.settle(60, states=["ready"])
            eventually(lambda: deliveries(node)["counts"]["dead"], 20, "it is given up")
            (dead,) = deliveries(node)["dead"]
            assert (dead["target"], dead["event"], dead["revision"]) == ("hook", "ready", 1)
            assert "410" in dead["error"]
            assert "410" in node.rasnode("status").stdout
            receiver.status = 204
            before = len(receiver.came)
            node.rasnode("retry", dead["series_instance_uid"])
            eventually(lambda: len(receiver.came) > before, 20, "it is tried again")
            eventually(lambda: not deliveries(node)["counts"]["dead"], 20, "it is noted")
            assert {item["key"] for item in receiver.came} == {dead["key"]}
        finally:
            node.kill()
