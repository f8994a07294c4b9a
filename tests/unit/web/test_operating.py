"""What operators do by the API: actions, deliveries, uploads, downloads, events, jobs."""

from __future__ import annotations

import asyncio
import io
import threading
import time
import zipfile
import zlib
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.cli.demo.phantom import ct_study
from node.core.events import DeliveryState, NewDelivery
from node.core.records import SeriesState
from node.core.settings.model import PeerSettings
from node.storage.index.peers.outbox import Outbox
from node.storage.index.search.listing import Listing
from node.web.change_feed import ChangeFeed
from tests.running import eventually
from tests.unit.web.conftest import PATIENT, World

ACTIONS = ("retry", "force", "hold", "release", "deliver")


def files(count: int = 3) -> list[tuple[str, bytes]]:
    """SOP Instance UIDs and the files of a new CT."""
    made = []
    for image in ct_study(datetime(2025, 3, 4, 9, 30, 0), (8, 8, count)).data_sets:  # noqa: DTZ001
        written = io.BytesIO()
        image.save_as(written, enforce_file_format=True)
        made.append((str(image.SOPInstanceUID), written.getvalue()))
    return made


def upload(client: httpx.Client, *parts: tuple[str, bytes]) -> httpx.Response:
    return client.post("/api/instances", files=[("files", part) for part in parts], timeout=60)


def statuses(answer: httpx.Response) -> dict[str, int]:
    return {one["name"]: one["status"] for one in answer.json()["files"]}


def held(world: World) -> dict[str, Path]:
    rows = Listing(world.index).instances()
    return {row["sop_instance_uid"]: world.archive.root / row["path"] for row in rows}


def test_who_may_only_look_changes_nothing(world: World) -> None:
    uid = world.receive()
    client = world.client()
    for action in ACTIONS:
        assert client.post(f"/api/series/{uid}/{action}").status_code == 403
    ((_, file), *_) = files(1)
    assert upload(client, ("a.dcm", file)).status_code == 403
    assert client.post("/api/pulls", json={"peer": "pacs", "rows": [{}]}).status_code == 403
    assert client.post("/api/pulls/x/cancel").status_code == 403
    image = {"image": ("m.nii", b"x")}
    assert client.post(f"/api/series/{uid}/results", files=image).status_code == 403
    assert world.work.series(uid).state is SeriesState.RECEIVING  # type: ignore[union-attr]


def test_hold_and_release_are_in_the_history_with_who_did_it(world: World) -> None:
    uid = world.receive()
    client = world.operator()
    answer = client.post(f"/api/series/{uid}/hold")
    assert (answer.status_code, answer.json()["state"]) == (202, "held")
    assert client.post(f"/api/series/{uid}/release").json()["state"] == "receiving"
    history = client.get(f"/api/series/{uid}").json()["history"]
    assert [(step["actor"], step["to_state"]) for step in history[-2:]] == [
        ("otto", "held"), ("otto", "receiving"),
    ]  # fmt: skip
    assert client.post(f"/api/series/{uid}/release").status_code == 409


def test_what_is_not_there_or_not_now_is_said(world: World) -> None:
    uid = world.receive()
    client = world.operator()
    for action in ACTIONS:
        assert client.post(f"/api/series/1.2.3.4/{action}").status_code == 404
        assert client.post(f"/api/series/abc/{action}").status_code == 422
    refused = client.post(f"/api/series/{uid}/deliver")
    assert refused.status_code == 409
    assert "delivered" in refused.json()["detail"]


def test_a_delivery_is_made_again_with_the_same_key(world: World) -> None:
    uid = world.receive()
    world.publish(uid)
    series, outbox = world.work.series(uid), Outbox(world.index)
    assert series is not None
    outbox.add(series.pk, [NewDelivery("k1", "pacs", "ready", 1, {})], 1.0)
    (delivery,) = outbox.of_series(series.pk)
    outbox.delivered(delivery, 2.0)
    client = world.operator()
    (shown,) = client.get("/api/deliveries").json()["deliveries"]
    assert (shown["target"], shown["state"], shown["address"]) == ("pacs", "delivered", uid)
    assert client.post(f"/api/series/{uid}/deliver").status_code == 202
    (again,) = outbox.of_series(series.pk)
    assert (again.key, again.state, again.attempts) == ("k1", DeliveryState.PENDING, 0)
    assert outbox.counts() == {"pending": 1}
    assert client.get(f"/api/series/{uid}").json()["history"][-1]["actor"] == "otto"
    assert client.get("/api/deliveries", params={"series": "1.2.3"}).status_code == 404


def ended(world: World, event: str, revision: int, state: str, key: str) -> int:
    """A delivery to the PACS that has ended; returns its number."""
    series, outbox = world.work.series(world.uids[-1]), Outbox(world.index)
    assert series is not None
    target = "result:pacs" if event == "result" else "pacs"
    outbox.add(series.pk, [NewDelivery(key, target, event, revision, {})], 1.0)
    (made,) = outbox.with_keys([key])
    if state == "delivered":
        outbox.delivered(made, 2.0)
    elif state == "dead":
        outbox.bury(made, 2.0, "refused")
    return made.id


def test_one_delivery_alone_is_made_again(world: World) -> None:
    uid = world.receive()
    world.publish(uid)
    old = ended(world, "ready", 1, "delivered", "old")
    new = ended(world, "ready", 2, "dead", "new")
    waiting = ended(world, "held", 2, "pending", "waiting")
    gone = ended(world, "result", 2, "delivered", "gone")
    lost = ended(world, "result", 2, "dead", "lost")
    ended(world, "result", 2, "dead", "later")
    client = world.operator()
    codes = {
        number: client.post(f"/api/deliveries/{number}/deliver").status_code
        for number in (old, new, waiting, gone, lost, 10**6)
    }
    assert codes == {old: 409, new: 202, waiting: 409, gone: 409, lost: 202, 10**6: 404}
    states = {one.key: str(one.state) for one in Outbox(world.index).latest(10)}
    assert states == {
        "old": "delivered", "new": "pending", "waiting": "pending", "gone": "delivered",
        "lost": "pending", "later": "dead",
    }  # fmt: skip
    assert Outbox(world.index).counts() == {"pending": 3, "delivered": 2, "dead": 1}
    history = client.get(f"/api/series/{uid}").json()["history"]
    assert ("otto", "delivered to pacs again by otto") in [
        (step["actor"], step["why"]) for step in history
    ]


def test_results_are_listed_alone_and_named_by_their_peer(world: World) -> None:
    world.receive("the source")
    ended(world, "ready", 1, "delivered", "a")
    ended(world, "result", 1, "dead", "b")
    page = world.viewer().get("/api/deliveries", params={"event": "result"}).json()
    (shown,) = page["deliveries"]
    assert (shown["target"], shown["description"]) == ("pacs", "the source")
    assert shown["reason"] == "refused"
    assert page["counts"] == {"pending": 0, "delivered": 1, "dead": 1}


def test_why_a_delivery_failed_is_told_only_to_whom_the_node_knows(world: World) -> None:
    uid = world.receive()
    series, outbox = world.work.series(uid), Outbox(world.index)
    assert series is not None
    outbox.add(series.pk, [NewDelivery("k1", "pacs", "ready", 1, {})], 1.0)
    (delivery,) = outbox.of_series(series.pk)
    outbox.failed(delivery, 2.0, f"the peer does not know {PATIENT[0]}")
    client = world.client()
    assert PATIENT[0] not in client.get("/api/deliveries").text
    assert PATIENT[0] in world.viewer().get("/api/deliveries").text


def test_uploaded_files_are_in_the_archive_byte_for_byte(world: World) -> None:
    made = files()
    client = world.operator()
    answer = upload(client, *((f"folder/IM{at}", file) for at, (_, file) in enumerate(made)))
    assert answer.status_code == 200, answer.text
    assert statuses(answer) == {f"folder/IM{at}": 0 for at in range(3)}
    kept = held(world)
    for uid, file in made:
        archived = kept[uid].read_bytes()
        assert file[-500:] == archived[-500:]
    (row,) = client.get("/api/series").json()["series"]
    history = client.get(f"/api/series/{row['address']}").json()["history"]
    assert ("otto", "uploaded by otto") in [(step["actor"], step["why"]) for step in history]
    assert not list((world.archive.root.parent / "uploads").iterdir())


def test_what_is_no_dicom_is_named_and_keeps_nothing_else_out(world: World) -> None:
    (first, one), (second, two) = files(2)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("DICOM/", b"")
        made.writestr("DICOM/IM1", two)
        made.writestr("../../notes.txt", b"hello")
    client = world.operator()
    parts = (("readme.txt", b"hello"), ("IM0", one), ("a.zip", packed.getvalue()))
    found = statuses(upload(client, *parts))
    assert found["IM0"] == found["a.zip/DICOM/IM1"] == 0
    assert found["readme.txt"] == found["a.zip/../../notes.txt"] == 0xC000
    assert set(held(world)) == {first, second}
    assert upload(client, ("only.txt", b"hello")).status_code == 422


def test_the_same_again_and_other_bytes_have_the_statuses_of_c_store(world: World) -> None:
    ((uid, file),) = files(1)
    client = world.operator()
    assert statuses(upload(client, ("a", file))) == {"a": 0}
    assert statuses(upload(client, ("a", file))) == {"a": 0}
    other = bytearray(file)
    other[-1] ^= 1
    (row,) = upload(client, ("a", bytes(other))).json()["files"]
    assert (row["status"], row["sop_instance_uid"]) == (0, uid)
    assert "both are kept" in row["sentence"]
    ((uid, file),) = files(1)
    (row,) = upload(client, ("cut", file[:-50])).json()["files"]
    assert 0xC000 <= row["status"] <= 0xCFFF or row["status"] == 0xA900
    assert uid not in held(world)


def raw_zip(packed: bytes, size: int, count: int = 1) -> bytes:
    """A ZIP whose entries all lead to one file."""
    import struct

    head = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 33, 0, len(packed), size, 2, 0)
    body = head + b"IM" + packed
    listed = b"".join(
        struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 33, 0, len(packed), size, 6,
                    0, 0, 0, 0, 0, 0) + f"IM{number:04d}".encode()
        for number in range(count)
    )  # fmt: skip
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(listed), len(body), 0)
    return body + listed + end


def test_zip_bombs_and_broken_zips_are_refused_by_name(world: World) -> None:
    client = world.operator()
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = squeezed.compress(bytes(80 << 20)) + squeezed.flush()
    for name, content, says in (
        ("bomb.zip", raw_zip(zeros, 80 << 20), "zip-bomb"),
        ("overlap.zip", raw_zip(zeros[:1000], 1000, 300), "over each other"),
        ("broken.zip", b"PK\3\4" + bytes(40), "broken"),
        ("empty.zip", b"", ""),
    ):
        answer = upload(client, (name, content))
        assert answer.status_code == 422
        assert any(says in one["sentence"] for one in answer.json()["files"]), answer.text
        assert answer.json()["files"][0]["name"].startswith(name)


@pytest.mark.parametrize("form", ["none", "cut"])
def test_a_form_that_is_none_is_400_and_leaves_nothing(world: World, form: str) -> None:
    ((uid, file),) = files(1)
    client = world.operator()
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    kind = "application/json" if form == "none" else "multipart/form-data; boundary=x"
    body = head + file[:-100]
    answer = client.post("/api/instances", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert uid not in held(world)
    left = world.archive.root.parent / "uploads"
    assert not left.exists() or not list(left.iterdir())


def test_a_series_and_a_study_come_as_zip_with_their_own_names(world: World) -> None:
    uid = world.receive()
    world.publish(uid)
    client = world.client()
    study = client.get(f"/api/series/{uid}").json()["study_instance_uid"]
    names = {"a/3_CT.nii.gz", "a/3_CT.png", "a/3_CT.manifest.json"}
    for url in (f"/api/series/{uid}/zip", f"/api/studies/{study}/zip"):
        answer = client.get(url)
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
            assert packed.testzip() is None
            assert set(packed.namelist()) == names
            assert packed.read("a/3_CT.png") == (world.outputs / "a/3_CT.png").read_bytes()
    assert client.get("/api/studies/1.2.3/zip").status_code == 404
    first = client.get(f"/api/series/{uid}").json()["files"][0]["url"]
    assert 'filename="3_CT.nii.gz"' in client.get(first).headers["content-disposition"]


def test_names_that_identify_are_not_in_zips_for_everybody(world: World) -> None:
    world.output_name = "{PatientName}/{SeriesNumber}"
    uid = world.receive()
    world.publish(uid, "SECRET/3_CT")
    with zipfile.ZipFile(
        io.BytesIO(world.client().get(f"/api/series/{uid}/zip").content)
    ) as packed:
        names = packed.namelist()
    assert all("SECRET" not in name for name in names)
    assert len({name.split(".nii")[0].split(".png")[0].split(".man")[0] for name in names}) == 1


def test_instances_are_only_for_whom_the_node_knows(world: World) -> None:
    client = world.operator()
    ((uid, file),) = files(1)
    upload(client, ("a", file))
    (row,) = client.get("/api/series").json()["series"]
    url = f"/api/series/{row['address']}/instances/{uid}"
    answer = client.get(url)
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.content == held(world)[uid].read_bytes()
    zipped = client.get(f"/api/series/{row['address']}/zip", params={"what": "dicom"})
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as packed:
        assert packed.namelist() == [f"{row['address']}/{uid}.dcm"]
    assert client.get(f"/api/series/{row['address']}/instances/1.2.3").status_code == 404
    assert world.viewer().get(url).status_code == 200
    nobody = world.client()
    assert nobody.get(url).status_code == 403
    assert nobody.get(zipped.request.url.raw_path.decode()).status_code == 403


def listen(client: httpx.Client, lines: list[str], heard: threading.Event) -> None:
    with client.stream("GET", "/api/events", timeout=30) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            heard.set()
            if len([one for one in lines if one.startswith("data:")]) == 2:
                return


def test_changes_are_told_within_two_seconds(world: World) -> None:
    old = world.receive("before")
    client = world.operator()
    lines: list[str] = []
    heard = threading.Event()
    listener = threading.Thread(target=listen, args=(client, lines, heard), daemon=True)
    listener.start()
    assert heard.wait(10)
    new = world.receive("after")
    time.sleep(1.2)
    httpx.post(
        f"{client.base_url}/api/series/{old}/hold", headers=client.headers
    ).raise_for_status()
    listener.join(20)
    told = [line for line in lines if line.startswith("data:")]
    assert [new in told[0], old in told[1], "held" in told[1]] == [True] * 3
    assert not any(word in "".join(lines) for word in PATIENT)


def test_only_so_many_pages_are_told_of_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.change_feed.MOST_LISTENERS", 3)
    client = world.viewer()
    listening = []  # an iterator that is given up ends its connection
    with ExitStack() as open_pages:
        for _ in range(3):
            answer = open_pages.enter_context(client.stream("GET", "/api/events", timeout=30))
            assert answer.status_code == 200
            listening.append(answer.iter_lines())
            assert next(listening[-1]).startswith(":")
        refused = client.get("/api/events")
        assert (refused.status_code, "pages" in refused.json()["detail"]) == (503, True)

    def told() -> bool:
        with client.stream("GET", "/api/events", timeout=30) as answer:
            return answer.status_code == 200

    eventually(told, 20, "a page that was closed leaves its place to another one")


def test_pages_that_open_at_once_are_not_more_than_may_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.change_feed.MOST_LISTENERS", 3)
    feed = ChangeFeed(world.index)

    async def told() -> int:
        streams = [await feed.listen() for _ in range(5)]
        first = [await anext(aiter(one), b"") for one in streams]
        return sum(1 for one in first if one)

    assert asyncio.run(told()) == 3


def test_a_job_is_made_and_shown(world: World) -> None:
    world.peers = [PeerSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)]
    client = world.operator()
    order = {"peer": "pacs", "name": "night", "rows": [{"PatientID": PATIENT[1]}]}
    assert client.post("/api/pulls", json=order).status_code == 201
    assert client.post("/api/pulls", json=order).status_code == 409
    wrongs: tuple[dict[str, Any], ...] = (
        {"peer": "other"}, {"rows": []}, {"rate": "fast"}, {"rows": [{"Nothing": "1"}]},
    )  # fmt: skip
    for wrong in wrongs:
        assert client.post("/api/pulls", json={**order, "name": "n2", **wrong}).status_code == 422
    (job,) = client.get("/api/pulls").json()
    assert (job["name"], job["state"], job["items"]) == ("night", "waiting", {"waiting": 1})
    assert client.get("/api/pulls/night").json()["items"][0]["query"] == order["rows"][0]
    assert client.post("/api/pulls/night/cancel").status_code == 202
    assert client.post("/api/pulls/none/cancel").status_code == 404
    assert PATIENT[1] not in world.client().get("/api/pulls").text
