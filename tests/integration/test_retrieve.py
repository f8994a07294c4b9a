"""C-GET and C-MOVE over the wire: bytes unaltered, counts, failures by name, cancelling."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, RLELossless
from pynetdicom import AE, build_role, evt
from pynetdicom.dsutils import decode, encode

from node.core.settings.model import PeerSettings
from node.dimse.upper_layer.pdus import Proposal
from tests.integration.queryable import (  # noqa: F401
    CT,
    EXPLICIT,
    GET,
    IMPLICIT,
    MOVE,
    MR,
    Peer,
    Queryable,
    ask,
    careless_peers,
    collected,
    instance,
)
from tests.running import dcmtk

pytestmark = careless_peers

RLE = str(RLELossless)
IN_MOVE = Proposal(MOVE, (IMPLICIT,))
TO_PEER = {"MoveDestination": "PEER"}
PLAIN = ((CT, (EXPLICIT, IMPLICIT)), (MR, (EXPLICIT, IMPLICIT)))
STUDY = {"StudyInstanceUID": "1.9"}
MANY = 60
TAKES_CT = build_role(CT, scp_role=True)


def image(series: int, number: int, bits: int = 16) -> Dataset:
    """An instance with pixels, and elements that nobody knows."""
    made = instance(series, number)
    made.Rows = made.Columns = 4
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit = bits - 1
    made.PixelRepresentation = 0
    made.PixelData = np.arange(16, dtype="<u2" if bits == 16 else "u1").tobytes()
    made["PixelData"].VR = "OW" if bits == 16 else "OB"
    block = made.private_block(0x0029, "SOMEBODY", create=True)
    block.add_new(0x01, "OB", bytes(range(32)))
    return made


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Queryable]:
    made = Queryable(tmp_path)
    yield made
    made.close()


def move(node: Queryable, level: str = "STUDY", **more):
    with node.connect(IN_MOVE, calling="TESTER") as peer:
        keys = {**STUDY, **more.pop("keys", {})}
        command = more.pop("command", TO_PEER)
        return ask(peer, level, model=MOVE, field=0x0021, command=command, **keys, **more)


def counts(command) -> tuple[int, ...]:
    return tuple(
        command[f"NumberOf{word}Suboperations"] for word in ("Completed", "Failed", "Warning")
    )


def test_moved_bytes_are_the_stored_bytes(node: Queryable) -> None:
    sent = {
        "1.7.1.1": node.store(image(1, 1), EXPLICIT),
        "1.7.1.2": node.store(image(1, 2), IMPLICIT),
        "1.7.2.1": node.store(instance(2, 1, MR), EXPLICIT),
    }
    node.start()
    with Peer().listening(*PLAIN) as peer:
        node.know(peer.settings)
        asked = move(node)
    assert {one.uid: one.data for one in peer.taken} == sent
    assert {one.uid: one.syntax for one in peer.taken}["1.7.1.2"] == IMPLICIT
    assert len({one.association for one in peer.taken}) == 1
    assert {one.calling for one in peer.taken} == {"RASNODE"}
    assert peer.taken[0].originator[0].strip() == "TESTER"
    assert peer.taken[0].originator[1] == 1
    assert asked.statuses == [0xFF00, 0xFF00, 0x0000]
    assert counts(asked.final) == (3, 0, 0)
    remaining = [r.command["NumberOfRemainingSuboperations"] for r in asked.responses[:-1]]
    assert remaining == [2, 1]


@pytest.mark.parametrize(
    ("level", "keys", "expected"),
    [
        ("SERIES", {"SeriesInstanceUID": "1.8.1"}, {"1.7.1.1", "1.7.1.2"}),
        ("SERIES", {"SeriesInstanceUID": ["1.8.1", "1.8.2"]}, {"1.7.1.1", "1.7.1.2", "1.7.2.1"}),
        ("IMAGE", {"SeriesInstanceUID": "1.8.1", "SOPInstanceUID": "1.7.1.2"}, {"1.7.1.2"}),
        ("IMAGE", {"SeriesInstanceUID": "1.8.1", "SOPInstanceUID": "1.7.2.1"}, set()),
    ],
)
def test_levels_and_lists(node: Queryable, level: str, keys, expected: set[str]) -> None:
    for series, number in ((1, 1), (1, 2), (2, 1)):
        node.store(instance(series, number))
    node.start()
    with Peer().listening(*PLAIN) as peer:
        node.know(peer.settings)
        asked = move(node, level, keys=keys)
    assert {one.uid for one in peer.taken} == expected
    assert asked.statuses[-1] == 0x0000


def test_failures_are_counted_and_listed(node: Queryable) -> None:
    for number in range(4):
        node.store(instance(1, number))
    node.start()
    statuses = {"1.7.1.1": 0xA700, "1.7.1.2": 0xB000}
    with Peer().listening(*PLAIN) as peer:
        peer.answer = lambda uid: statuses.get(uid, 0)
        node.know(peer.settings)
        asked = move(node)
    assert asked.statuses[-1] == 0xB000
    assert counts(asked.final) == (2, 1, 1)
    assert asked.identifiers[-1].FailedSOPInstanceUIDList == "1.7.1.1"


def test_all_failed_is_a_failure(node: Queryable) -> None:
    for number in range(2):
        node.store(instance(1, number))
    node.start()
    with Peer().listening(*PLAIN) as peer:
        peer.answer = lambda _uid: 0xA700
        node.know(peer.settings)
        asked = move(node)
    assert asked.statuses[-1] == 0xA702
    assert asked.final["ErrorComment"] == "the peer answered C-STORE with 0xA700"
    assert list(asked.identifiers[-1].FailedSOPInstanceUIDList) == ["1.7.1.0", "1.7.1.1"]


def test_a_peer_that_aborts_is_asked_again_once(node: Queryable) -> None:
    for number in range(4):
        node.store(instance(1, number))
    node.start()
    aborted: list[str] = []

    def answer(uid: str) -> int:
        if uid == "1.7.1.2" and not aborted:
            aborted.append(uid)
            return -1
        return 0

    with Peer().listening(*PLAIN) as peer:
        peer.answer = answer
        node.know(peer.settings)
        asked = move(node)
    assert asked.statuses[-1] == 0x0000
    assert aborted == ["1.7.1.2"]
    assert len({one.association for one in peer.taken}) == 2


def test_a_destination_that_is_away_or_unknown(node: Queryable) -> None:
    node.store(instance(1, 1))
    node.start()
    node.know()
    unknown = move(node)
    node.know(PeerSettings(name="p", ae_title="PEER", host="127.0.0.1", port=9))
    away = move(node)
    assert unknown.statuses == [0xA801]
    assert away.statuses == [0xA702]
    assert away.final["ErrorComment"] == "PEER at 127.0.0.1:9 cannot be reached: Connection refused"
    assert counts(away.final) == (0, 1, 0)
    assert away.identifiers[-1].FailedSOPInstanceUIDList == "1.7.1.1"


def test_who_may_not_move_is_told_so(node: Queryable) -> None:
    node.store(instance(1, 1))
    node.start()
    with Peer().listening(*PLAIN) as peer:
        weak = PeerSettings(name="w", ae_title="WEAK", host="h", port=1, may=("find", "get"))
        node.know(peer.settings, weak)
        with node.connect(IN_MOVE, calling="WEAK") as client:
            asked = ask(client, "STUDY", model=MOVE, field=0x0021, command=TO_PEER, **STUDY)
    assert asked.statuses == [0x0124]
    assert not peer.taken


def test_cancelled_in_the_middle(node: Queryable) -> None:
    for number in range(MANY):
        node.store(instance(1, number))
    node.start()
    with Peer().listening(*PLAIN) as peer:
        node.know(peer.settings)
        asked = move(node, cancel_after=2)
    assert asked.statuses[-1] == 0xFE00
    done = counts(asked.final)
    assert 2 <= done[0] < MANY
    assert asked.final["NumberOfRemainingSuboperations"] == MANY - done[0]
    assert len(peer.taken) == done[0]


def test_compressed_goes_out_as_it_is_or_decoded(node: Queryable) -> None:
    plain = image(1, 1, bits=8)
    pixels = plain.PixelData
    plain.file_meta = Dataset()
    segment = bytes([15]) + pixels
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    frame = header + segment + b"\0"
    plain.PixelData = encapsulate([frame])
    plain["PixelData"].is_undefined_length = True
    stored = node.store(plain, RLE)
    node.start()
    with Peer().listening((CT, (RLE, EXPLICIT))) as able:
        node.know(able.settings)
        assert move(node).statuses[-1] == 0x0000
    with Peer().listening((CT, (IMPLICIT,))) as unable:
        node.know(unable.settings)
        assert move(node).statuses[-1] == 0x0000
    with Peer().listening((CT, (ExplicitVRBigEndian,))) as odd:
        node.know(odd.settings)
        assert move(node).statuses[-1] == 0xA702
    assert able.taken[0].data == stored
    assert able.taken[0].syntax == RLE
    back = decode(BytesIO(unable.taken[0].data), True, True)
    assert back.PixelData[:16] == pixels
    assert back.SOPInstanceUID == "1.7.1.1"
    assert not odd.taken


def test_big_endian_words_are_turned_round(node: Queryable) -> None:
    made = image(1, 1)
    swapped = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    made.PixelData = swapped
    node.store(made, str(ExplicitVRBigEndian), encode(made, False, False))
    node.start()
    with Peer().listening((CT, (EXPLICIT,))) as peer:
        node.know(peer.settings)
        assert move(node).statuses[-1] == 0x0000
    back = decode(BytesIO(peer.taken[0].data), False, True)
    assert list(np.frombuffer(back.PixelData, "<u2")) == list(range(16))


def test_a_file_that_is_gone_fails_alone(node: Queryable) -> None:
    for number in range(3):
        node.store(instance(1, number))
    (victim,) = node.archive.root.rglob("1.7.1.1.dcm")
    victim.unlink()
    (shorter,) = node.archive.root.rglob("1.7.1.2.dcm")
    shorter.write_bytes(shorter.read_bytes()[:-2])
    node.start()
    with Peer().listening(*PLAIN) as peer:
        node.know(peer.settings)
        asked = move(node)
    assert asked.statuses[-1] == 0xB000
    assert counts(asked.final) == (1, 2, 0)
    assert [one.uid for one in peer.taken] == ["1.7.1.0"]


def test_more_classes_than_an_association_can_propose(node: Queryable) -> None:
    classes = [f"1.2.840.10008.5.1.4.1.1.999.{number}" for number in range(70)]
    for number, sop_class in enumerate(classes):
        node.store(instance(1, number, sop_class))
    node.start()
    with Peer().listening(*((c, (EXPLICIT,)) for c in classes)) as peer:
        node.know(peer.settings)
        asked = move(node)
    assert asked.statuses[-1] == 0x0000
    assert len(peer.taken) == len(classes)
    assert len({one.association for one in peer.taken}) == 2


@pytest.mark.parametrize(
    ("level", "keys"),
    [("STUDY", {"StudyInstanceUID": ""}), ("SERIES", {"StudyInstanceUID": ""}), ("FRAMES", {})],
)
def test_what_to_move_has_to_be_said(node: Queryable, level: str, keys) -> None:
    node.store(instance(1, 1))
    node.start()
    with Peer().listening(*PLAIN) as peer:
        node.know(peer.settings)
        asked = move(node, level, keys=keys)
    assert asked.statuses == [0xA900]
    assert not peer.taken


def get(
    node: Queryable,
    cancel_after: int = 0,
    status: int = 0,
    contexts=(EXPLICIT, IMPLICIT),
    roles=(TAKES_CT,),
):
    """A C-GET by pynetdicom: what came, the responses."""
    came: list[tuple[str, str, bytes]] = []
    ae = AE("TESTER")
    ae.add_requested_context(GET, IMPLICIT)
    for syntax in contexts:
        ae.add_requested_context(CT, syntax)

    def take(event) -> int:
        request = event.request
        uid = str(request.AffectedSOPInstanceUID)
        came.append((uid, str(event.context.transfer_syntax), request.DataSet.getvalue()))
        if len(came) == cancel_after:
            association.send_c_cancel(1, None, GET)
        return status

    association = ae.associate(
        "127.0.0.1",
        node.port,
        ae_title="RASNODE",
        ext_neg=list(roles),
        evt_handlers=[(evt.EVT_C_STORE, take)],
    )
    assert association.is_established
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = "1.9"
    responses = list(association.send_c_get(query, GET, msg_id=1))
    association.release()
    return came, responses


def test_got_bytes_are_the_stored_bytes(node: Queryable) -> None:
    sent = {
        "1.7.1.1": node.store(image(1, 1), EXPLICIT),
        "1.7.1.2": node.store(image(1, 2), IMPLICIT),
    }
    node.start()
    came, responses = get(node)
    assert {uid: data for uid, _, data in came} == sent
    assert responses[-1][0].Status == 0x0000
    assert responses[-1][0].NumberOfCompletedSuboperations == 2


@pytest.mark.parametrize("roles", [(), (build_role(CT, scu_role=True),)])
def test_a_get_without_the_role_of_scp_is_told_so(node: Queryable, roles) -> None:
    node.store(image(1, 1), EXPLICIT)
    node.start()
    came, responses = get(node, roles=roles)
    assert not came
    assert responses[-1][0].Status == 0xA702
    assert responses[-1][0].ErrorComment == (
        "no SCP role was negotiated for its SOP class (PS3.7 D.3.3.4)"
    )


def test_a_get_is_cancelled(node: Queryable) -> None:
    for number in range(MANY):
        node.store(instance(1, number))
    node.start()
    came, responses = get(node, cancel_after=2)
    assert responses[-1][0].Status == 0xFE00
    assert len(came) < MANY


def test_a_get_of_what_was_not_negotiated(node: Queryable) -> None:
    node.store(image(1, 1), EXPLICIT)
    node.store(instance(2, 1, MR), EXPLICIT)
    node.start()
    came, responses = get(node)
    assert [uid for uid, _, _ in came] == ["1.7.1.1"]
    assert responses[-1][0].Status == 0xB000
    assert responses[-1][1].FailedSOPInstanceUIDList == "1.7.2.1"


def test_dcmtk_gets_and_moves(node: Queryable, tmp_path: Path) -> None:
    stored = node.store(image(1, 1), EXPLICIT)
    node.start()
    got = tmp_path / "got"
    got.mkdir()
    common = ["-aec", "RASNODE", "127.0.0.1", str(node.port)]
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.9"]
    command = [dcmtk("getscu"), "-S", "-B", "-od", str(got), *keys, *common]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = got.iterdir()
    assert file.read_bytes().endswith(stored)
    assert dcmread(file).SOPInstanceUID == "1.7.1.1"
    with Peer().listening(*PLAIN) as peer:
        node.know(peer.settings)
        command = [dcmtk("movescu"), "-S", "-aet", "TESTER", "-aem", "PEER", *keys, *common]
        subprocess.run(command, check=True, capture_output=True)
    assert [one.data for one in peer.taken] == [stored]
