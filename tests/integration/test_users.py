"""Users of a running node: added and removed beside it, and what outlasts reindex and backup."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from node.storage.access.accounts import Accounts
from tests.running import RunningNode, free_port
from tests.small import small_ct

PASSWORD = "Correct-horse-1"  # noqa: S105


def rasnode(
    node: RunningNode, *arguments: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments, "-c", str(node.config)],
        input=typed, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    made = RunningNode(tmp_path, {"http": {"port": free_port(), "auth": {"local": True}}})
    yield made
    made.kill()


def client(node: RunningNode, **options: object) -> httpx.Client:
    port = yaml.safe_load(node.config.read_text())["http"]["port"]
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", **options)  # type: ignore[arg-type]


def test_users_come_and_go_beside_the_node(node: RunningNode) -> None:
    assert rasnode(node, "user", "add", "vera", typed=f"{PASSWORD}\n").returncode == 0
    node.start()
    token = rasnode(node, "user", "token", "tool", "--role", "operator").stdout.strip()
    with client(node) as page, client(node, headers={"Authorization": f"Bearer {token}"}) as tool:
        assert page.get("/api/node").status_code == 401
        page.post("/login", data={"name": "vera", "password": PASSWORD})
        assert page.get("/api/session").json()["role"] == "viewer"
        assert tool.get("/api/session").json() == {"name": "tool", "role": "operator", "csrf": ""}
        for name, who in (("vera", page), ("tool", tool)):
            assert rasnode(node, "user", "remove", name).returncode == 0
            assert who.get("/api/session").status_code == 401
    assert "vera" not in rasnode(node, "user", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "said"),
    [
        (("add", "vera"), f"{PASSWORD}\n", 1, "exists already"),
        (("add", "otto", "--role", "emperor"), f"{PASSWORD}\n", 2, "emperor"),
        (("add", "otto"), "\n", 2, "the password is empty"),
        (("add", "otto"), "short\n", 2, "8 to 1024 characters"),
        (("add", "o t"), f"{PASSWORD}\n", 2, "cannot be a name"),
        (("remove", "otto"), "", 1, "no user and no token"),
        (("token", "tool", "--days", "0"), "", 2, "--days"),
        (("token", "vera", "--role", "admin"), "", 1, "vera is viewer"),
    ],
)
def test_what_is_refused_is_said(
    tmp_path: Path, arguments: tuple[str, ...], typed: str, code: int, said: str
) -> None:
    node = RunningNode(tmp_path, {})
    Accounts(node.root).add_user("vera", "viewer", "HASH")
    done = rasnode(node, "user", *arguments, typed=typed)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert [one.name for one in Accounts(node.root).all()] == ["vera"]


def test_users_and_tokens_outlast_reindex_and_a_backup(node: RunningNode, tmp_path: Path) -> None:
    rasnode(node, "user", "add", "vera", typed=f"{PASSWORD}\n")
    token = rasnode(node, "user", "token", "tool").stdout.strip()
    node.start()
    with client(node) as page:
        page.post("/login", data={"name": "vera", "password": PASSWORD})
        kept = dict(page.cookies)
    small_ct(tmp_path / "ct", 4, announced=True)
    assert rasnode(node, "import", str(tmp_path / "ct")).returncode == 0
    backup = tmp_path / "backup"
    for _ in range(2):  # the second takes the place of the first
        done = rasnode(node, "backup", str(backup))
        assert done.returncode == 0, done.stderr
    assert len(list(backup.glob("users-*"))) == 1
    node.kill()
    assert rasnode(node, "reindex").returncode == 0
    node.start()
    with client(node, cookies=kept) as page:
        assert page.get("/api/session").json()["name"] == "vera"
    node.kill()

    node.root.rename(tmp_path / "lost")
    done = rasnode(node, "restore", str(backup))
    assert done.returncode == 0, done.stderr
    node.start()
    with client(node, cookies=kept) as page:
        assert page.get("/api/session").status_code == 401  # it may have been ended since
        page.post("/login", data={"name": "vera", "password": PASSWORD})
        assert page.get("/api/session").json()["name"] == "vera"
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(page.base_url.join("/api/session"), headers=headers).status_code == 200


def test_files_of_the_page_that_cannot_be_used_are_named_with_their_line(tmp_path: Path) -> None:
    oidc = {"issuer": "https://login.example", "client_id": "x", "roles": {"viewer": ["x"]}}
    http = {
        "port": free_port(),
        "tls": {"certificate": "/nothing/web.pem", "key": "/nothing/web.key"},
        "auth": {"oidc": {**oidc, "client_secret_file": "/nothing/secret"}},
    }
    node = RunningNode(tmp_path, {"http": http})
    for command in ("check-config", "serve"):
        done = rasnode(node, command)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "/nothing/web.pem (http.tls.certificate) cannot be read" in done.stderr
        assert "/nothing/secret (http.auth.oidc.client_secret_file) cannot be read" in done.stderr
