"""The four kinds of target, each with what can go wrong at the other end."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from node.core.errors import Permanent, Retryable
from node.core.records import StoredInstance
from node.core.settings.deliver import (
    CommandSettings,
    FolderSettings,
    ForwardSettings,
    TargetSettings,
    WebhookSettings,
)
from node.core.settings.model import Settings
from node.deliver.targets.command import Command
from node.deliver.targets.folder import Folder
from node.deliver.targets.forward import Forward
from node.deliver.targets.target import DeliveryFailed, DeliveryRefused, TargetUnavailable
from node.deliver.targets.webhook import Webhook, signature
from tests.unit.deliver.samples import FILES, delivery


def FIRST(_series: int) -> tuple[int, dict[str, str]]:
    """The first revision is visible."""
    return 1, {}


SECRET = "a secret of sixteen"  # noqa: S105


@dataclass
class Hook:
    url: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def hook() -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.seen.append((dict(self.headers), body))
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made = Hook(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sender(**settings: Any) -> Webhook:
    return Webhook(WebhookSettings(**settings), lambda: 1700000000.5)


def test_a_webhook_is_signed_and_carries_its_key() -> None:
    with hook() as there:
        sender(url=there.url, secret=SECRET).deliver(delivery())
    (headers, body) = there.seen[0]
    assert json.loads(body) == delivery().payload
    assert headers["Idempotency-Key"] == "k1"
    assert headers["X-Rasnode-Event"] == "ready"
    assert headers["X-Rasnode-Timestamp"] == "1700000000"
    expected = signature(SECRET.encode(), "1700000000", body)
    assert headers["X-Rasnode-Signature"] == expected
    assert expected != signature(b"another", "1700000000", body)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    with hook() as there:
        sender(url=there.url, secret_file=tmp_path / "secret").deliver(delivery())
    headers, body = there.seen[0]
    assert headers["X-Rasnode-Signature"] == signature(SECRET.encode(), "1700000000", body)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, None),
        (301, TargetUnavailable),
        (400, DeliveryRefused),
        (401, TargetUnavailable),
        (404, TargetUnavailable),
        (410, DeliveryRefused),
        (422, DeliveryRefused),
        (429, TargetUnavailable),
        (500, TargetUnavailable),
        (503, TargetUnavailable),
    ],
)
def test_what_answers_mean(status: int, error: type[Exception] | None) -> None:
    with hook() as there:
        webhook = sender(url=there.url)
        there.status = status
        there.headers = {"Retry-After": "7"}
        if error is None:
            webhook.deliver(delivery())
            return
        with pytest.raises(error, match=str(status)) as caught:
            webhook.deliver(delivery())
        if isinstance(caught.value, TargetUnavailable):
            assert caught.value.after == 7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Tue, 14 Nov 2023 22:15:20 GMT", 119.5),  # the webhook's clock says 22:13:20.5
        ("Tuesday, 14-Nov-23 22:15:20 GMT", 119.5),
        ("Tue, 14 Nov 2023 20:00:00 GMT", 0.0),
        ("Sat, 14 Nov 2026 22:15:20 GMT", 3600.0),
        ("999999", 3600.0),
        ("soon", None),
        ("", None),
        ("Tue, 99 Nov 2023 22:15:20 GMT", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(value: str, seconds: float | None) -> None:
    with hook() as there:
        there.status, there.headers = 503, {"Retry-After": value}
        with pytest.raises(TargetUnavailable) as caught:
            sender(url=there.url).deliver(delivery())
    assert caught.value.after == seconds


def test_a_receiver_that_is_unavailable() -> None:
    with hook() as there:
        url = there.url
    with pytest.raises(TargetUnavailable, match="Connection refused"):
        sender(url=url).deliver(delivery())


def command(**settings: Any) -> Command:
    return Command(CommandSettings(**settings), lambda _pk: {})


def script(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "script.py"
    path.write_text(text)
    return (sys.executable, str(path))


def test_a_command_gets_arguments_environment_and_input(tmp_path: Path) -> None:
    run = script(
        tmp_path,
        "import json, os, sys\n"
        "out = {'argv': sys.argv[2:], 'env': dict(os.environ), 'in': json.load(sys.stdin)}\n"
        "json.dump(out, open(sys.argv[1], 'w'))\n",
    )
    seen = tmp_path / "seen.json"
    os.environ["NOT_FOR_COMMANDS"] = "1"
    settings = CommandSettings(
        run=(*run, str(seen), "{image}", "--key={key}", "$HOME; {event} `x`", "{{literal}}"),
        environment={"MINE": "yes"},
    )
    given = delivery(series_instance_uid="1.5; rm -rf {key}")
    Command(settings, lambda _pk: {}).deliver(given)
    found = json.loads(seen.read_text())
    assert found["argv"] == ["/out/s/a.nii.gz", "--key=k1", "$HOME; ready `x`", "{literal}"]
    assert found["in"] == given.payload
    assert found["env"]["RASNODE_SERIES_INSTANCE_UID"] == "1.5; rm -rf {key}"
    assert found["env"]["RASNODE_FILES"].splitlines() == [f"/out/{name}" for name in FILES]
    assert found["env"]["MINE"] == "yes"
    assert "NOT_FOR_COMMANDS" not in found["env"]


def test_a_command_that_fails_is_tried_again(tmp_path: Path) -> None:
    run = script(tmp_path, "import sys; sys.exit('no such subject')")
    with pytest.raises(DeliveryFailed, match="exited with 1") as caught:
        command(run=run).deliver(delivery())
    assert caught.value.output == "no such subject"
    with pytest.raises(DeliveryFailed, match="cannot be started"):
        command(run=("/nowhere/to/be",)).deliver(delivery())


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    run = script(
        tmp_path,
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])\n",
    )
    with pytest.raises(DeliveryFailed, match=r"was ended after 0\.5 s"):
        command(run=run, timeout_seconds=0.5).deliver(delivery())


def made(root: Path, revision: int, files: list[str] = FILES) -> dict[str, Any]:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest = json.dumps({"revision": revision})
        path.write_text(manifest if name.endswith(".manifest.json") else f"of {revision}")
    return {"root": str(root), "files": files, "revision": revision}


def here(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def share(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


def test_a_folder_gets_what_is_there_and_loses_what_was_replaced(
    tmp_path: Path, share: Path
) -> None:
    folder = Folder(FolderSettings(path=share), lambda _series: (visible, {}))
    visible = 1
    folder.deliver(delivery(**made(tmp_path / "out", 1, [*FILES, "s/a_e2.nii.gz"])))
    assert len(here(share)) == 4
    (tmp_path / "out" / "s" / "a_e2.nii.gz").unlink()
    replaced = [*FILES, "s/a_e2.nii.gz"]
    visible = 2
    folder.deliver(delivery(**made(tmp_path / "out", 2), replaced=replaced))
    assert here(share) == here(tmp_path / "out")
    folder.deliver(delivery(event="superseded", state="held", files=FILES))
    assert here(share) == {}


def test_a_folder_is_not_given_what_was_replaced_meanwhile(tmp_path: Path, share: Path) -> None:
    first = made(tmp_path / "out", 1)
    made(tmp_path / "out", 2)
    Folder(FolderSettings(path=share), FIRST).deliver(delivery(**first))
    assert here(share) == {}


def test_a_folder_whose_files_are_gone_meanwhile(tmp_path: Path, share: Path) -> None:
    first = made(tmp_path / "out", 1)
    for name in FILES:
        (tmp_path / "out" / name).unlink()
    Folder(FolderSettings(path=share), FIRST).deliver(delivery(**first))
    assert here(share) == {}


def test_a_folder_does_not_get_what_is_damaged(tmp_path: Path, share: Path) -> None:
    first = made(tmp_path / "out", 1)
    digests = {
        name: hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() for name in FILES
    }
    victim = tmp_path / "out" / FILES[0]
    victim.write_bytes(victim.read_bytes() + b"x")
    folder = Folder(FolderSettings(path=share), lambda _series: (1, digests))
    with pytest.raises(DeliveryFailed, match="output-damaged"):
        folder.deliver(delivery(**first))
    assert here(share) == {}
    Folder(FolderSettings(path=share), lambda _series: (2, {})).deliver(delivery(**first))
    assert here(share) == {}  # the next revision is another delivery


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TargetUnavailable, match="does not exist"):
        Folder(FolderSettings(path=tmp_path / "gone"), FIRST).deliver(delivery())


def test_forwarding_sends_what_the_series_has() -> None:
    sent: list[tuple[str, list[str]]] = []
    instance = StoredInstance("1.2.1", "1.2", "1.2", "p", 1, "s", 0, 0, 0, 0.0, b"")
    known = [instance, replace(instance, sop_instance_uid="1.2.2", conflict=True)]
    forward = Forward(
        ForwardSettings(peer="PACS"),
        lambda _uid: known,
        lambda peer, items, _seconds: sent.append(
            (peer, [item.sop_instance_uid for item in items])
        ),
    )
    forward.deliver(delivery())
    forward.deliver(delivery(event="superseded"))
    assert sent == [("PACS", ["1.2.1"])]


@pytest.mark.parametrize(
    ("raised", "error"), [(Retryable("away"), TargetUnavailable), (Permanent("no"), DeliveryFailed)]
)
def test_a_peer_that_does_not_take_it(raised: Exception, error: type[Exception]) -> None:
    def refuse(_peer: str, _items: Any, _seconds: float) -> None:
        raise raised

    with pytest.raises(error):
        Forward(ForwardSettings(peer="P"), lambda _uid: [], refuse).deliver(delivery())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"name": "x"}, "exactly one of"),
        ({"name": "x", "folder": {"path": "/a"}, "forward": {"peer": "p"}}, "exactly one of"),
        ({"name": "a b", "folder": {"path": "/a"}}, "name"),
        ({"name": "x", "folder": {"pth": "/a"}}, "pth"),
        ({"name": "x", "folder": {"path": "/a"}, "events": ["redyy"]}, "events"),
        ({"name": "x", "folder": {"path": "/a"}, "when": {"Modalty": "MR"}}, "did you mean Modal"),
        ({"name": "x", "folder": {"path": "/a"}, "unless": {"Rows": 5}}, "nothing that rules"),
        ({"name": "x", "webhook": {"url": "ftp://x"}}, "url"),
        ({"name": "x", "webhook": {"url": "http://x", "secret": "short"}}, "secret"),
        ({"name": "x", "command": {"run": ["a", "{images}"]}}, "can be filled in"),
        ({"name": "x", "command": {"run": ["a", "{event.__class__}"]}}, "can be filled in"),
        ({"name": "x", "command": {"run": []}}, "run"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TargetSettings(**settings)


def test_names_differ_and_peers_are_known() -> None:
    share = {"name": "x", "folder": {"path": "/a"}}
    forward = {"name": "y", "forward": {"peer": "PACS"}}
    peer = {"name": "PACS", "ae_title": "PACS", "host": "pacs.example"}
    Settings.model_validate({"deliver": [share, forward], "dicom": {"peers": [peer]}})
    with pytest.raises(ValidationError, match="twice"):
        Settings.model_validate({"deliver": [share, share]})
    with pytest.raises(ValidationError, match=r"not in dicom\.peers"):
        Settings.model_validate({"deliver": [forward]})
