"""Who gets in: by the role that each route states, at one place."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route

from node.core.settings.http import Http
from node.core.settings.passcodes import make_hash
from node.web.app import create_app
from node.web.auth.secrets import digest_of
from node.web.roles import Role, role, role_of
from tests.running import eventually
from tests.unit.web.conftest import World

LOCAL = Http(auth={"local": True})  # type: ignore[arg-type]
PROXY = {"user_header": "X-User", "roles_header": "X-Roles", "trusted": ["127.0.0.1"]}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PASSWORD = "Correct-horse-1"  # noqa: S105


@pytest.fixture(scope="module")
def hashed() -> str:
    return make_hash(PASSWORD)


def bearer(world: World, name: str, ends: float | None = None) -> dict[str, str]:
    """The header of a program with this role."""
    token = f"rasnode_{name}" + "x" * 40
    world.accounts.add_token(f"tool-{name}", name, digest_of(token), ends)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def changing(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes clients of an application with a route of each role, one of which states none."""

    def extended(*arguments: Any) -> FastAPI:
        app = create_app(*arguments)

        def done(uid: str = "") -> str:
            return uid

        for name in Role:
            app.add_api_route(
                f"/api/for/{name}/{{uid}}", done, methods=["POST"], openapi_extra=role(name)
            )
        app.add_api_route("/api/silent", done)
        return app

    monkeypatch.setattr("tests.unit.web.conftest.create_app", extended)
    return world.client


def login(client: httpx.Client, name: str = "vera", password: str = PASSWORD) -> httpx.Response:
    return client.post("/login", data={"name": name, "password": password, "next": "/"})


def test_every_route_states_its_role(world: World) -> None:
    oidc = {"issuer": "https://login.example", "client_id": "x", "roles": {"viewer": ["x"]}}
    secret = world.outputs / "secret"
    secret.write_text("secret")
    settings = Http.model_validate(
        {"auth": {"local": True, "oidc": {**oidc, "client_secret_file": str(secret)}}}
    )
    for app in (
        create_app(world.site(), Http()),
        create_app(world.site(), settings, world.accounts),
    ):
        assert all(isinstance(route, Route | Mount) for route in app.routes)  # none is nested
        silent = [getattr(route, "path", route) for route in app.routes if role_of(route) is None]
        assert silent == [], "say openapi_extra=role(...) at the route"
        assert {"/", "/api/series", "/static", "/health"} <= {
            getattr(route, "path", "") for route in app.routes
        }
        for path, operations in app.openapi()["paths"].items():
            for method, operation in operations.items():
                stated = operation["x-rasnode-role"]
                assert stated in set(Role)
                assert method == "get" or Role(stated).includes(Role.OPERATOR), path


def test_each_role_reaches_what_is_for_it_and_nothing_else(world: World, changing: Any) -> None:
    client = changing(LOCAL)
    senders = {Role.PUBLIC: {}, **{one: bearer(world, one) for one in list(Role)[1:]}}
    for sender, headers in senders.items():
        for needed in Role:
            answer = client.post(f"/api/for/{needed}/1.2", headers=headers)
            expected = 200 if sender.includes(needed) else 403
            if sender is Role.PUBLIC and needed is not Role.PUBLIC:
                expected = 401
                assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.status_code == expected, (sender, needed)


def test_a_route_that_states_no_role_is_refused_for_everybody(world: World, changing: Any) -> None:
    assert changing(LOCAL).get("/api/silent", headers=bearer(world, "admin")).status_code == 403
    assert changing().get("/api/silent").status_code == 403


def test_without_a_login_nothing_can_be_changed(world: World, changing: Any) -> None:
    client = changing()
    assert client.get("/api/node").status_code == 200
    for needed in (Role.OPERATOR, Role.ADMIN):
        answer = client.post(f"/api/for/{needed}/1.2")
        assert answer.status_code == 403
        assert "http.auth" in answer.json()["detail"]


def test_a_body_is_not_waited_for_before_its_sender_is_known(world: World, changing: Any) -> None:
    url = changing(LOCAL).base_url
    with socket.create_connection((url.host, url.port), 10) as raw:
        head = (
            f"POST /api/for/operator/1.2 HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 9\r\n\r\n"
        )
        raw.sendall(head.encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer rasnode_" + "y" * 40},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + "x" * 9000},
        {"Authorization": "Basic dmVyYTp4"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": "rasnode_session=" + "y" * 43},
    ],
)
def test_a_wrong_token_or_session_is_nobody(world: World, headers: Any) -> None:
    assert world.client(LOCAL).get("/api/series", headers=headers).status_code == 401


def test_a_token_that_has_ended_is_nobody(world: World) -> None:
    assert (
        world.client(LOCAL).get("/api/node", headers=bearer(world, "admin", 1.0)).status_code == 401
    )


def test_nobody_sees_pages_files_or_the_description(world: World) -> None:
    world.publish(uid := world.receive())
    client = world.client(LOCAL)
    for path in ("/", f"/series/{uid}", "/metrics", "/api/openapi.json", "/nothing",
                 f"/api/series/{uid}/files/0", "/api/series/"):  # fmt: skip
        assert client.get(path).status_code == 401, path
        led = client.get(path, headers=BROWSER)
        assert led.status_code == 303, path
        assert led.headers["location"].startswith("/login?next=/"), path
    for path in ("/health", "/login", "/static/app.css"):
        assert client.get(path).status_code == 200, path


def test_a_session_begins_and_ends(world: World, hashed: str) -> None:
    world.accounts.add_user("vera", "viewer", hashed)
    client = world.client(LOCAL)
    answer = login(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "domain" not in cookie
    assert client.get("/api/session").json()["name"] == "vera"
    page = client.get("/", headers=BROWSER).text
    (token,) = re.findall(r'<meta name="csrf" content="([^"]+)">', page)
    kept = dict(client.cookies)

    assert client.post("/logout", data={"csrf_token": "wrong"}).status_code == 403
    assert client.get("/api/node").status_code == 200
    assert client.post("/logout", data={"csrf_token": token}).status_code == 303
    client.cookies.update(kept)
    assert client.get("/api/node").status_code == 401


def test_a_session_ends_by_itself(world: World, hashed: str) -> None:
    world.accounts.add_user("vera", "viewer", hashed)
    client = world.client(Http(auth={"local": True}, session_seconds=1.5))  # type: ignore[arg-type]
    secret = login(client).headers["set-cookie"].split(";")[0]

    def status() -> int:
        return client.get("/api/node", headers={"Cookie": secret}).status_code

    assert status() == 200
    eventually(lambda: status() == 401, 30, "the session has ended")


def test_a_login_ends_the_session_before_it(world: World, hashed: str) -> None:
    world.accounts.add_user("vera", "viewer", hashed)
    client = world.client(LOCAL)
    login(client)
    first = dict(client.cookies)
    login(client)
    assert dict(client.cookies) != first
    with httpx.Client(base_url=client.base_url, cookies=first) as other:
        assert other.get("/api/node").status_code == 401


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    world: World, hashed: str
) -> None:
    world.accounts.add_user("vera", "viewer", hashed)
    client = world.client(LOCAL)
    answers = [login(client, name, "wrong") for name in ("vera", "nemo")]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].text == answers[1].text
    assert login(client, "vera", "").status_code == 401
    assert not client.cookies


def test_guessing_is_answered_429_and_says_when_to_try_again(world: World) -> None:
    client = world.client(LOCAL)
    for _ in range(30):
        answer = login(client, "rudi", "wrong")
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 60


def test_a_page_of_another_site_cannot_log_somebody_in(world: World, hashed: str) -> None:
    world.accounts.add_user("vera", "viewer", hashed)
    client = world.client(LOCAL, headers={"Origin": "http://evil.example"})
    assert login(client).status_code == 403
    assert not client.cookies


def test_a_browser_changes_something_with_the_token_of_its_session_alone(
    world: World, changing: Any, hashed: str
) -> None:
    for name in ("otto", "anna"):
        world.accounts.add_user(name, "operator", hashed)
    client, other = changing(LOCAL), changing(LOCAL)
    login(client, "otto")
    login(other, "anna")
    url = "/api/for/operator/1.2"
    own, foreign = (each.get("/api/session").json()["csrf"] for each in (client, other))
    for token in (None, "", "x" * 43, foreign):
        headers = {} if token is None else {"X-CSRF-Token": token}
        assert client.post(url, headers=headers).status_code == 403, token
    evil = {"X-CSRF-Token": own, "Origin": "http://evil.example"}
    assert client.post(url, headers=evil).status_code == 403
    assert client.post(url, headers={"X-CSRF-Token": own}).status_code == 200


def test_a_proxy_says_who_it_is(world: World, changing: Any) -> None:
    settings = Http.model_validate({"auth": {"proxy": PROXY}})
    client = changing(settings)

    def sent(**headers: str) -> int:
        named = {f"X-{key.replace('_', '-')}": value for key, value in headers.items()}
        return int(client.get("/api/node", headers=named).status_code)

    assert sent(User="paula", Roles="viewer") == 200
    assert sent(User="paula", Roles="cafeteria, Viewer") == 200
    assert sent(User="paula", Roles="cafeteria") == 403
    assert sent(User="paula") == 403
    assert sent(User="", Roles="admin") == 401
    assert sent(Roles="admin") == 401
    twice = [("X-User", "paula"), ("X-User", "anna"), ("X-Roles", "viewer")]
    assert client.get("/api/node", headers=twice).status_code == 400
    who = {"X-User": "paula", "X-Roles": "operator"}
    assert client.post("/api/for/operator/1.2", headers=who).status_code == 403
    csrf = client.get("/api/session", headers=who).json()["csrf"]
    headers = {**who, "X-CSRF-Token": csrf}
    assert client.post("/api/for/operator/1.2", headers=headers).status_code == 200
    headers["X-User"] = "anna"
    assert client.post("/api/for/operator/1.2", headers=headers).status_code == 403


def test_what_others_say_in_the_headers_of_the_proxy_is_nothing(world: World) -> None:
    settings = Http.model_validate({"auth": {"proxy": {**PROXY, "trusted": ["127.0.0.2"]}}})
    client = world.client(settings)
    headers = {"X-User": "paula", "X-Roles": "admin", "X-Forwarded-For": "127.0.0.2"}
    assert client.get("/api/node", headers=headers).status_code == 401


def test_the_audit_log_says_who_looked_at_and_did_what(
    world: World, changing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    uid = world.receive()
    caplog.set_level(logging.INFO, "node.audit")
    client = changing(LOCAL, headers=bearer(world, "operator"))
    for _ in range(3):
        client.get(f"/api/series/{uid}")
        client.post(f"/api/for/operator/{uid}")
    client.post(f"/api/for/admin/{uid}")
    written = [
        (record.user, record.role, record.route, record.series, record.status)
        for record in caplog.records
        if record.name == "node.audit"
    ]
    who = ("tool-operator", "operator")
    did = (*who, "POST /api/for/operator/{uid}", uid, 200)
    looked = (*who, "GET /api/series/{uid}", uid, 200)
    refused = (*who, "POST /api/for/admin/{uid}", uid, 403)
    assert written == [looked, did, did, did, refused]


def test_head_is_answered_like_get_without_a_body(world: World) -> None:
    uid = world.receive()
    client = world.client()
    for path in ("/", "/api/node", f"/api/series/{uid}", "/static/app.css", "/health"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b""), path
        assert answer.headers["content-type"] == client.get(path).headers["content-type"]
    assert client.head("/nothing").status_code == 404


def test_errors_are_problem_details_for_programs_and_pages_for_browsers(world: World) -> None:
    client = world.client()
    for path, status in (
        ("/api/series/1.2.3", 404),
        ("/nothing", 404),
        ("/api/series?limit=x", 422),
    ):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert (body["status"], body["type"]) == (status, "about:blank")
        assert body["title"]
        assert body["detail"]
        page = client.get(path, headers=BROWSER)
        assert page.status_code == status
        assert page.headers["content-type"].startswith("text/html")
    assert client.delete("/api/series").headers["allow"] == "GET"


def test_what_is_wrong_is_named_and_not_repeated(world: World) -> None:
    answer = world.client().get("/api/series?limit=SECRET-NAME")
    assert "limit" in answer.json()["detail"]
    assert "SECRET-NAME" not in answer.text
