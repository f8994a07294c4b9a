"""What a stranger leaves in quarantine and in conflict has a bound, is seen, and pushes out nothing
of anybody else's: by real C-STOREs to a running node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import yaml
from pydicom.dataset import Dataset, FileMetaDataset
from pynetdicom import AE
from pynetdicom.dsutils import encode

from node.dimse.upper_layer.messages import C_STORE_RQ
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, Requestor
from tests.integration.queryable import CT, EXPLICIT, instance
from tests.running import TITLE, RunningNode, eventually, free_port

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
EACH = 64 << 10  # bytes that a sender may leave
SIZE = 10_000  # bytes of an instance's pixel data


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    quotas = {"quarantine": {"per_peer": EACH}, "conflicts": {"per_peer": EACH}}
    settings = {"storage": quotas, "http": {"port": free_port()}}
    made = RunningNode(tmp_path_factory.mktemp("quotas"), settings)
    try:
        yield made.start()
    finally:
        made.kill()


@pytest.fixture(scope="module")
def stranger(node: RunningNode) -> Iterator[Requestor]:
    where = Destination(HERE, node.port, TITLE, "STRANGER")
    made = Requestor(where, [Proposal(CT, (EXPLICIT,))])
    yield made
    made.release()


def version(number: int, pixels: int) -> Dataset:
    return instance(1, number, PixelData=bytes([pixels]) * SIZE, BitsAllocated=8)


def store(stranger: Requestor, uid: str, data: bytes) -> tuple[int, str]:
    """Status and Error Comment."""
    request = {
        "AffectedSOPClassUID": CT,
        "CommandField": C_STORE_RQ,
        "Priority": 0,
        "AffectedSOPInstanceUID": uid,
    }
    command = stranger.response(
        stranger.request(stranger.contexts(CT)[EXPLICIT], request, data)
    ).command
    return int(command["Status"]), str(command.get("ErrorComment", ""))


def send(stranger: Requestor, number: int, pixels: int) -> tuple[int, str]:
    encoded = encode(version(number, pixels), False, True)
    assert encoded is not None
    return store(stranger, f"1.7.1.{number}", encoded)


def send_from(address: str, node: RunningNode, *images: Dataset) -> list[int]:
    ae = AE("ANOTHER")
    ae.add_requested_context(CT, EXPLICIT)
    association = ae.associate(HERE, node.port, bind_address=(address, 0))
    assert association.is_established
    statuses = []
    for image in images:
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = EXPLICIT
        image.file_meta.MediaStorageSOPClassUID = CT
        statuses.append(int(association.send_c_store(image).Status))
    association.release()
    return statuses


def refused(node: RunningNode, sender: str) -> list[Path]:
    return sorted((node.root / "quarantine").glob(f"*-refused-{sender}-*.dcm"))


def test_what_is_refused_is_kept_once_and_within_a_bound(
    node: RunningNode, stranger: Requestor
) -> None:
    wrong = instance(9, 1)
    buffer = BytesIO()
    wrong.save_as(buffer, implicit_vr=False, little_endian=True)
    for _ in range(3):
        assert store(stranger, "1.7.9.2", buffer.getvalue())[0] == 0xA900
    (first,) = refused(node, HERE)
    for number in range(12):
        assert store(stranger, "1.7.9.3", b"%2d" % number * SIZE)[0] == 0xC000
    kept = refused(node, HERE)
    assert 2 <= len(kept) < 12
    assert first not in kept
    size = sum(path.stat().st_size for path in (node.root / "quarantine").iterdir())
    assert size <= EACH
    notes = [json.loads(path.with_suffix(".json").read_bytes()) for path in kept]
    assert {(note["sender"], note["from"]) for note in notes} == {(HERE, "STRANGER")}


def test_other_versions_of_an_instance_are_taken_within_a_bound(
    node: RunningNode, stranger: Requestor
) -> None:
    assert send(stranger, 1, 0) == (0, "")
    sent = 1

    def limited() -> tuple[int, str] | None:
        nonlocal sent
        sent += 1
        answer = send(stranger, 1, sent)
        return answer if answer[0] else None

    status, comment = eventually(limited, 30, "a version is refused")
    assert status == 0xA700
    assert "too many conflicts from this address" in comment
    # Of everything that was answered with success nothing is missing,
    versions = [one for one in node.instances() if one["sop_instance_uid"] == "1.7.1.1"]
    assert len({one["sha256"] for one in versions}) == sent - 1
    assert all((node.root / one["path"]).exists() for one in versions)
    # what is there already may come again, and so may what is new,
    assert send(stranger, 1, 0) == (0, "")
    assert send(stranger, 1, sent - 1) == (0, "")
    assert send(stranger, 2, 1) == (0, "")
    # but not in two versions, however fast.
    assert send(stranger, 2, 2)[0] == 0xA700
    # Another sender may do what this one may do no more.
    assert send_from(ELSEWHERE, node, version(1, 255), version(3, 1)) == [0, 0]


def test_it_is_seen(node: RunningNode, stranger: Requestor) -> None:
    if not refused(node, HERE):  # whoever runs this test alone
        test_what_is_refused_is_kept_once_and_within_a_bound(node, stranger)
    if not any(one["sop_instance_uid"] == "1.7.1.1" for one in node.instances()):
        test_other_versions_of_an_instance_are_taken_within_a_bound(node, stranger)
    kept = json.loads(node.rasnode("status", "--json").stdout)["kept"]
    quarantine, conflicts = (
        {row["sender"]: row for row in kept[name]} for name in ("quarantine", "conflicts")
    )
    assert quarantine[HERE]["kind"] == "refused"
    assert 0 < quarantine[HERE]["size"] <= EACH
    assert conflicts[HERE]["size"] > EACH
    assert conflicts[ELSEWHERE]["files"] == 1
    text = node.rasnode("status").stdout
    assert "in quarantine, refused: " in text
    files = sum(one["files"] for one in conflicts.values())
    assert f"in conflict with an instance received before: {files} files" in text

    found = {
        one["check"]: one
        for one in json.loads(
            node.rasnode(
                "doctor", "--json", "--only", "storage", "--only", "database", check=False
            ).stdout
        )
    }
    assert found["conflicts"]["grade"] == "wrong"
    assert HERE in found["conflicts"]["found"]
    assert "refused" in found["quarantine"]["found"]

    port = yaml.safe_load(node.config.read_text())["http"]["port"]
    with httpx.Client(base_url=f"http://{HERE}:{port}") as page:
        told = page.get("/api/node").json()["quarantine"]
        assert told == {"refused": quarantine[HERE]["files"], "answered": 0}
        metrics = page.get("/metrics").text
        assert f'rasnode_quarantine_files{{kind="refused"}} {float(told["refused"])}' in metrics
        total = sum(one["size"] for one in conflicts.values())
        assert f"rasnode_conflict_bytes {float(total)}" in metrics


def test_who_sends_what_cannot_be_filed_is_refused_before_it_fills_the_disk(
    node: RunningNode, stranger: Requestor
) -> None:
    for number in range(9):
        name = f"20260101T00000{number}-answered-{HERE}-{number:016x}.dcm"
        (node.root / "quarantine" / name).write_bytes(bytes(SIZE))
    answer = eventually(lambda: send(stranger, 5, 1)[0], 20, "nothing is taken any more")
    assert answer == 0xA700
    assert "quarantine" in send(stranger, 5, 1)[1]
    assert send_from(ELSEWHERE, node, version(6, 1)) == [0]
