"""Pages, API, metrics and health, over a real index."""

from __future__ import annotations

import io
import re
import socket
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from node.core.errors import Retryable
from node.core.settings.host_names import is_loopback
from node.core.settings.http import Http
from node.web import health
from node.web.app import create_app
from node.web.files.output_files import names_identify
from tests.unit.web.conftest import HOSTILE, PATIENT, World

STATIC = Path(create_app.__code__.co_filename).parent / "static"


def test_the_list_has_the_newest_series_first_page_by_page(world: World) -> None:
    uids = [world.receive() for _ in range(3)]
    client = world.client()
    page = client.get("/api/series", params={"limit": 2}).json()
    assert [one["series_instance_uid"] for one in page["series"]] == [uids[2], uids[1]]
    rest = client.get("/api/series", params={"limit": 2, "cursor": page["next"]}).json()
    assert [one["series_instance_uid"] for one in rest["series"]] == [uids[0]]
    assert rest["next"] is None
    assert page["states"]["receiving"] == 3


def test_no_number_is_too_large_to_be_refused(world: World) -> None:
    uid = world.receive()
    world.publish(uid)
    client = world.client()
    paths = client.get("/api/openapi.json").json()["paths"]
    asked = 0
    for path, methods in paths.items():
        for one in methods.get("get", {}).get("parameters", []):
            known = {
                "uid": uid,
                "instance": "1.2",
                "job": "a",
                "number": "0",
                "axis": "0",
                "index": "0",
                "low": "0",
                "high": "1",
            }
            known |= {"i": "0", "j": "0", "k": "0", one["name"]: "9" * 23}
            answer = client.get(path.format(**known), params=known)
            assert answer.status_code in {200, 403, 404, 409, 422}, (path, one["name"], answer.text)
            asked += 1
    assert asked > 10


def test_the_list_can_be_narrowed_to_states(world: World) -> None:
    waiting, ready = world.receive(), world.receive()
    world.publish(ready)
    client = world.client()
    asked = {"state": ["ready", "failed"]}
    assert [
        one["series_instance_uid"]
        for one in client.get("/api/series", params=asked).json()["series"]
    ] == [ready]
    found = client.get("/api/series", params={"state": "receiving"}).json()["series"]
    assert [one["series_instance_uid"] for one in found] == [waiting]


def test_a_series_with_everything_that_is_known(world: World) -> None:
    uid = world.receive("T1")
    world.publish(uid)
    series = world.client().get(f"/api/series/{uid}").json()
    assert series["state"] == "ready"
    assert series["revision"] == 1
    assert series["instances"] == 4
    assert series["description"] == "T1"
    assert series["verdict"] == "complete"
    assert series["evidence"] == [{"source": "grid", "says": "complete", "sentence": HOSTILE}]
    assert series["refusals"][0]["source"] == "missing-slice"
    assert [file["ending"] for file in series["files"]] == [".nii.gz", ".png", ".manifest.json"]
    assert series["files"][0]["path"] == str(world.outputs / "a/3_CT.nii.gz")
    assert series["history"][-1]["to_state"] == "ready"
    assert series["history"][-1]["why"] == series["why"] == "waited"


def test_files_are_given_out_under_a_name_without_the_patient(world: World) -> None:
    world.output_name = "{PatientID}/{SeriesNumber}"
    uid = world.receive()
    world.publish(uid, f"{PATIENT[1]}/3")
    client = world.client()
    series = client.get(f"/api/series/{uid}").json()
    assert series["files"][0]["path"] is None
    answer = client.get(series["files"][0]["url"])
    assert answer.content == (world.outputs / PATIENT[1] / "3.nii.gz").read_bytes()
    assert answer.headers["content-disposition"] == f'attachment; filename="{uid}_0.nii.gz"'
    assert client.get(series["picture"]).headers["content-type"] == "image/png"


def test_nothing_tells_who_the_patient_is(world: World) -> None:
    world.output_name = "{PatientID}/{SeriesNumber}"
    uid = world.receive()
    world.publish(uid, f"{PATIENT[1]}/3")
    client = world.client()
    for url in ("/api/series", f"/api/series/{uid}", "/api/node", "/metrics", "/health", "/"):
        text = client.get(url).text
        assert not [secret for secret in PATIENT if secret in text], url


def test_output_names_that_identify() -> None:
    assert names_identify("{PatientName}/{SeriesNumber:04d}")
    assert names_identify("{StudyInstanceUID}/{AccessionNumber}")
    assert names_identify("{SomethingNew}")
    assert not names_identify("{StudyInstanceUID}/{SeriesNumber:04d}_{Modality}")


def test_names_outside_the_output_folder_are_not_served(world: World, tmp_path: Path) -> None:
    uid = world.receive()
    (tmp_path / "secret.nii").write_text("secret")
    world.publish(uid)
    series = world.work.series(uid)
    assert series is not None
    names = ["../secret.nii", str(tmp_path / "secret.nii"), "a/../../secret.nii"]
    world.work.move(series, series.state, now=2.0, actor="test", outputs=names)
    client = world.client()
    assert client.get(f"/api/series/{uid}").json()["files"] == []
    for number in range(3):
        assert client.get(f"/api/series/{uid}/files/{number}").status_code == 404


def test_the_viewer_gets_geometry_slices_and_voxels(world: World) -> None:
    uid = world.receive()
    array = world.publish(uid)
    client = world.client()
    url = client.get(f"/api/series/{uid}").json()["files"][0]["volume"]
    view = client.get(url).json()
    assert view["shape"] == [4, 5, 6, 1]
    assert view["spacing"] == [2, 3, 4]
    assert [plane["name"] for plane in view["planes"]] == ["axial", "coronal", "sagittal"]
    base = url.split("?")[0]
    asked = {"axis": 2, "index": 3, "low": 0, "high": 255}
    drawn = np.asarray(Image.open(io.BytesIO(client.get(f"{base}/slice", params=asked).content)))
    assert np.array_equal(drawn, array[::-1, ::-1, 3].T)
    voxel = client.get(f"{base}/voxel", params={"i": 1, "j": 2, "k": 3}).json()
    assert voxel == {"value": [float(array[1, 2, 3])], "ras": [2, 6, 12], "source": "1.2.3"}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"axis": 2, "index": 6, "low": 0, "high": 1}, 422),
        ({"axis": 3, "index": 0, "low": 0, "high": 1}, 422),
        ({"axis": 0, "index": 0, "low": 1, "high": 1}, 422),
        ({"axis": 0, "index": 0, "low": "nan", "high": 1}, 422),
        ({"axis": 0, "index": 0, "low": 0, "high": 1, "revision": 7}, 409),
    ],
)
def test_slices_that_do_not_exist(world: World, asked, status) -> None:
    uid = world.receive()
    world.publish(uid)
    answer = world.client().get(f"/api/series/{uid}/volumes/0/slice", params=asked)
    assert answer.status_code == status


def test_unknown_series_and_hostile_uids(world: World) -> None:
    client = world.client()
    assert client.get("/api/series/1.2.3").status_code == 404
    assert client.get("/series/1.2.3").status_code == 404
    for uid in ("..%2f..%2fetc", "1.2.3'%20OR%201=1", "1" * 65, HOSTILE):
        assert client.get(f"/api/series/{uid}").status_code in {404, 422}


def test_pages_are_static_and_bring_everything_with_them(world: World) -> None:
    uid = world.receive()
    client = world.client()
    for url in ("/", f"/series/{uid}"):
        page = client.get(url)
        assert page.status_code == 200
        assert HOSTILE not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for linked in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            assert client.get(linked).status_code == 200, linked
    for file in STATIC.iterdir():
        text = file.read_text()
        # The name of SVG's vocabulary is an address by form only.
        found = re.findall(r"https?://[^\s\"']+", text.replace("http://www.w3.org/2000/svg", ""))
        assert not found, file
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|\son\w+=", text), (
            file
        )


def test_every_answer_is_guarded(world: World) -> None:
    client = world.client()
    for url in ("/", "/api/node", "/nowhere", "/metrics", "/static/app.css"):
        headers = client.get(url).headers
        assert headers["x-content-type-options"] == "nosniff", url
        assert headers["referrer-policy"] == "same-origin", url


def test_an_error_that_nobody_foresaw_says_nothing_of_a_patient(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = "^".join(("DOE", "JANE"))  # the log has the lines of the program

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError(name)

    monkeypatch.setattr("node.storage.index.search.finding.Finder.series", fail)
    answer = world.client().get("/api/series")
    assert answer.status_code == 500
    (reference,) = re.findall(r"reference ([0-9a-f]{8}) in the log", answer.json()["detail"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    for said in (answer.text, caplog.text):
        assert name not in said
    assert reference in caplog.text
    assert "Traceback" not in answer.text
    assert "File " not in answer.text


LOOPBACK = ("127.0.0.1:8080", "127.0.0.2", "localhost", "LocalHost:9", "[::1]:8080")
ADDRESSES = ("10.0.0.5:8080", "[fd00::5]:8080")
NAMED = ("node.example:8080", "Node.Example", "port.example:8080", "[fd00::7]")
FOREIGN = (
    "evil.example", "evil.example:8080", "[::1].evil.example", "127.0.0.1.evil.example",
    "[evil.example]", "[::1", "localhost.evil.example", "localhost@evil.example",
    "localhost:8080.evil.example", "localhost:99999", "localhost:", "evil.example#localhost", "",
    "port.example:9090", "port.example", "localhost, evil.example",
)  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "hosts", "answered"),
    [
        ("127.0.0.1", (), LOOPBACK),
        ("10.0.0.1", (), (*LOOPBACK, *ADDRESSES, "[fd00::7]")),
        ("::1", ("node.example", "port.example:8080", "fd00::7"), LOOPBACK + NAMED),
    ],
)
def test_a_page_answers_to_its_own_names_only(world: World, bound, hosts, answered) -> None:
    client = world.client(Http(host=bound, hosts=hosts))
    for asked in {*LOOPBACK, *ADDRESSES, *NAMED, *FOREIGN}:
        answer = client.get("/api/node", headers={"host": asked})
        known = asked in answered
        assert answer.status_code == (200 if known else 400), (asked, answer.text)
        assert known or "http.hosts" in answer.text
    with socket.create_connection(("127.0.0.1", client.base_url.port), 5) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert b" 400 " in raw.recv(64)


@pytest.mark.parametrize("wrong", ["", "*", "http://node.example", "node.example/", "a b", "a:b"])
def test_a_host_that_no_request_can_name_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="name or address, with or without a port"):
        Http(hosts=(wrong,))


def test_loopback() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.1.2.3")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("pacs.example")


def test_the_api_describes_itself(world: World) -> None:
    described = world.client().get("/api/openapi.json").json()
    assert "/api/series/{uid}/volumes/{number}/slice" in described["paths"]
    assert "SeriesDetail" in described["components"]["schemas"]


def test_metrics(world: World) -> None:
    world.publish(world.receive())
    world.receive()
    answer = world.client().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'rasnode_series{state="ready"} 1.0' in lines
    assert 'rasnode_series{state="receiving"} 1.0' in lines
    assert 'rasnode_held{level="instances"} 8.0' in lines
    assert any(line.startswith("rasnode_disk_free_bytes ") for line in lines)
    assert any(line.startswith("rasnode_instances_total{") for line in lines)
    assert any(line.startswith("rasnode_associations_total{") for line in lines)
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_healthy(world: World) -> None:
    answer = world.client().get("/health")
    assert answer.status_code == 200
    assert (answer.json()["healthy"], answer.json()["faults"]) == (True, {})


def test_unhealthy_by_name(world: World, tmp_path: Path) -> None:
    world.echo_fault = Retryable("nobody answers")
    world.minimum_free = 1 << 60
    answer = world.client().get("/health")
    assert answer.status_code == 503
    faults = answer.json()["faults"]
    assert set(faults) == {"dicom", "disk"}
    assert "storage.minimum_free" in faults["disk"]


def test_an_output_folder_that_takes_no_files_is_unhealthy(world: World) -> None:
    world.outputs.rmdir()
    world.outputs.write_text("a file")
    answer = world.client().get("/health")
    assert answer.status_code == 503
    assert set(answer.json()["faults"]) == {"output"}
    assert str(world.outputs) in answer.json()["faults"]["output"]


def test_filing_that_cannot_go_on_is_unhealthy(world: World) -> None:
    world.stuck = True
    faults = world.client().get("/health").json()["faults"]
    assert set(faults) == {"ingest"}
    assert "0xA700" in faults["ingest"]


def test_a_disk_that_is_too_slow_is_unhealthy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.health.SLOW_SECONDS", 0.0)
    faults = world.client().get("/health").json()["faults"]
    assert set(faults) == {"disk"}
    assert "s to write" in faults["disk"]


def test_an_index_that_cannot_be_written(world: World, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("node.storage.index.engine.BUSY_SECONDS", 0)
    from node.storage.index.engine import Index

    world.index.close()
    world.index = Index(world.index.url)
    with sqlite3.connect(tmp_path / "index.db") as other:
        other.execute("BEGIN IMMEDIATE")
        faults = world.client().get("/health").json()["faults"]
        other.rollback()
    other.close()
    assert set(faults) == {"index"}


def test_health_is_not_looked_at_more_often_than_it_changes(world: World, monkeypatch) -> None:
    client = world.client()
    assert client.get("/health").status_code == 200
    world.echo_fault = Retryable("nobody answers")
    assert client.get("/health").status_code == 200
    monkeypatch.setattr(health, "FRESH_SECONDS", -1.0)
    assert client.get("/health").status_code == 503
