"""What administrators do by the API: users and tokens, the settings in effect, the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest

from node.core import recent_log
from node.core.logs import configure_logging
from node.core.settings.http import Http
from node.web.roles import Role
from tests.unit.web.conftest import World

PASSWORD = "Correct-horse-1"  # noqa: S105


@pytest.fixture
def admin(world: World) -> httpx.Client:
    return world.known("anna", Role.ADMIN)


@pytest.fixture
def kept(world: World) -> Iterator[None]:
    """The log is kept as `rasnode serve` keeps it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging("text", world.archive.root.parent)
    yield
    for one in root.handlers:
        one.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("path", ["/api/users", "/api/settings", "/api/log", "/admin"])
def test_only_administrators_see_users_settings_and_log(
    world: World, admin: httpx.Client, path: str
) -> None:
    assert admin.get(path).status_code == 200
    assert world.operator().get(path).status_code == 403
    assert world.viewer().get(path).status_code == 403
    assert world.client().get(path).status_code == 403
    assert world.client(Http.model_validate({"auth": {"local": True}})).get(path).status_code == 401


def test_a_user_is_added_logs_in_and_is_out_at_once_when_removed(
    world: World, admin: httpx.Client
) -> None:
    new = {"name": "vito", "role": "operator", "password": PASSWORD}
    assert admin.post("/api/users", json=new).status_code == 201
    browser = world.client(Http.model_validate({"auth": {"local": True}}))
    browser.post("/login", data={"name": "vito", "password": PASSWORD, "next": "/"})
    assert browser.get("/api/session").json()["role"] == "operator"
    listed = {one["name"]: one for one in admin.get("/api/users").json()}
    assert (listed["vito"]["role"], listed["vito"]["sessions"]) == ("operator", 1)
    assert PASSWORD not in admin.get("/api/users").text
    assert admin.delete("/api/users/vito").status_code == 204
    assert browser.get("/api/session").status_code == 401
    assert admin.delete("/api/users/vito").status_code == 404


def test_what_cannot_be_a_user_is_said(admin: httpx.Client) -> None:
    new = {"name": "vito", "role": "viewer", "password": PASSWORD}
    assert admin.post("/api/users", json=new).status_code == 201
    assert admin.post("/api/users", json=new).status_code == 409
    for wrong in ({"name": "../x"}, {"password": "short"}, {"role": "public"}, {"more": 1}):
        assert admin.post("/api/users", json={**new, "name": "zoe", **wrong}).status_code == 422
    token = {"role": "admin"}
    assert admin.post("/api/users/vito/tokens", json=token).status_code == 409  # he is a viewer
    assert admin.post("/api/users/pipe/tokens", json={"days": 0}).status_code == 422
    own = admin.delete("/api/users/anna")
    assert (own.status_code, "lock yourself out" in own.json()["detail"]) == (409, True)
    assert admin.get("/api/users").status_code == 200


def test_a_token_is_shown_once_and_works(world: World, admin: httpx.Client) -> None:
    made = admin.post("/api/users/pipeline/tokens", json={"role": "operator", "days": 1})
    token = made.json()["token"]
    program = world.client(
        Http.model_validate({"auth": {"local": True}}), headers={"Authorization": f"Bearer {token}"}
    )
    assert program.get("/api/session").json()["role"] == "operator"
    assert token not in admin.get("/api/users").text
    (one,) = [each for each in admin.get("/api/users").json() if each["name"] == "pipeline"]
    assert one["tokens"][0]["role"] == "operator"
    assert one["tokens"][0]["ends_at"] > 0


def test_settings_come_with_their_sources_and_without_secrets(
    world: World, admin: httpx.Client
) -> None:
    root = world.archive.root.parent
    (root / "config.yaml").write_text(
        f"storage: {{root: {root}}}\n"
        "database: {url: 'postgresql+psycopg://node:hunter2@db.example/rasnode'}\n"
        "dicom: {ae_title: HERE}\n"
        "deliver:\n"
        "- {name: hook, events: [ready], webhook: {url: 'https://x.example/h?token=hunter3',"
        " secret: hunter4-hunter4-hunter4}}\n"
    )
    answer = admin.get("/api/settings")
    found = answer.json()
    assert found["settings"]["dicom"]["ae_title"] == "HERE"
    assert found["sources"]["dicom.ae_title"].endswith("config.yaml:3")
    assert found["sources"]["dicom.port"] == "default"
    assert found["settings"]["database"]["url"].startswith("postgresql+psycopg://node:***@")
    assert not any(word in answer.text for word in ("hunter2", "hunter3", "hunter4"))


def test_the_log_has_who_did_what_newest_first(
    world: World, admin: httpx.Client, kept: None
) -> None:
    logging.getLogger("node.web").warning("the disk is nearly full", extra={"peer": "CT1"})
    admin.post("/api/users", json={"name": "vito", "role": "viewer", "password": PASSWORD})
    logging.getLogger("node.web").error("broken")
    found = admin.get("/api/log", params={"limit": 1000}).json()
    said = [one["message"] for one in found]
    assert said.index("broken") < said.index("anna added the user vito (viewer)")
    assert said.index("broken") < said.index("the disk is nearly full")
    assert PASSWORD not in str(found)
    warnings = admin.get("/api/log", params={"level": "WARNING"}).json()
    assert [one["message"] for one in warnings] == ["broken", "the disk is nearly full"]
    (one,) = admin.get("/api/log", params={"search": "ct1", "level": "WARNING"}).json()
    assert one["fields"] == {"peer": "CT1"}
    assert admin.get("/api/log", params={"level": "LOUD"}).status_code == 422


def test_the_kept_log_is_bounded_and_outlasts_a_cut_record(
    world: World, kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = world.archive.root.parent
    monkeypatch.setattr(recent_log, "MOST_BYTES", 2000)
    log = logging.getLogger("node.test")
    for number in range(100):
        log.warning("record %d", number)
        recent_log.rotate(root)
    sizes = [file.stat().st_size for file in (root / "log").iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 6000
    with (root / "log" / "recent.log").open("a") as cut:
        cut.write('{"time": "2026')
    found = [one["message"] for one in recent_log.newest(root, 3)]
    assert found == ["record 99", "record 98", "record 97"]


def test_a_log_that_cannot_be_kept_stops_nothing(
    world: World, capsys: pytest.CaptureFixture[str], kept: None
) -> None:
    configure_logging("text", world.archive.root.parent)  # onto the captured stderr
    folder = world.archive.root.parent / "log"
    folder.rmdir()
    folder.write_text("in the way")
    logging.getLogger("node.test").warning("it goes on")
    assert capsys.readouterr().err.count("it goes on") == 1
    assert recent_log.newest(world.archive.root.parent, 3) == []
