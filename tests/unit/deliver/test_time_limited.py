"""An attempt that hangs in the operating system costs its own target attempts, and no other."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from node.core.events import Delivery
from node.core.settings.deliver import FolderSettings, TargetSettings
from node.deliver.routes import make_routes
from node.deliver.targets.folder import Folder
from node.deliver.targets.target import DeliveryFailed, TargetUnavailable
from node.deliver.targets.time_limited import TimeLimited
from tests.unit.deliver.samples import FILES, delivery


class Hanging:
    """Hangs until it is let go; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.free = threading.Event()

    def deliver(self, delivery: Delivery) -> None:
        self.begun += 1
        assert self.free.wait(20)


def test_an_attempt_that_hangs_is_abandoned_and_none_started_before_it_ends() -> None:
    target = Hanging()
    limited = TimeLimited(target, 0.1)
    with pytest.raises(
        TargetUnavailable, match="timed-out: the attempt hangs in the operating system"
    ):
        limited.deliver(delivery())
    for _ in range(3):
        with pytest.raises(TargetUnavailable, match="still-hanging"):
            limited.deliver(delivery())
    assert target.begun == 1
    target.free.set()
    assert limited._hanging is not None
    limited._hanging.join(10)
    limited.deliver(delivery())
    assert target.begun == 2


def test_the_error_of_the_target_is_passed_on() -> None:
    class Refusing:
        def deliver(self, delivery: Delivery) -> None:
            raise DeliveryFailed("no", "in its own words")

    with pytest.raises(DeliveryFailed, match="no") as caught:
        TimeLimited(Refusing(), 10).deliver(delivery())
    assert caught.value.output == "in its own words"


def published(root: Path) -> dict[str, Any]:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('{"revision": 1}')
    return {"root": str(root), "files": FILES, "revision": 1}


def test_a_folder_is_not_touched_after_its_time(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    late = Folder(FolderSettings(path=share, timeout_seconds=1e-9), lambda _series: (1, {}))
    with pytest.raises(
        TargetUnavailable, match=r"timed-out: copying to .* took longer than 1e-09 s"
    ):
        late.deliver(delivery(**published(tmp_path / "out")))
    assert not [path for path in share.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["folder", "command", "forward"])
def test_every_kind_of_target_ends_in_time_although_the_system_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A pipe with nobody at its other end hangs as a dead share does: in `open`."""
    monkeypatch.setattr("node.deliver.routes._MARGIN_SECONDS", 0.2)
    pipe = tmp_path / "out" / "s" / "a.json"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    (tmp_path / "share").mkdir()

    def hang(*_: Any, **__: Any) -> None:
        pipe.read_bytes()

    monkeypatch.setattr("node.deliver.targets.program.subprocess.Popen", hang)
    ways: dict[str, dict[str, Any]] = {
        "folder": {"path": tmp_path / "share"},
        "command": {"run": ["/bin/true"]},
        "forward": {"peer": "PACS"},
    }
    settings = TargetSettings.model_validate(
        {"name": "t", kind: {**ways[kind], "timeout_seconds": 0.1}}
    )
    routes = make_routes(
        [settings],
        instances=lambda _uid: [],
        attributes=lambda _pk: {},
        sender=hang,
        published=lambda _pk: (1, {}),
        archive=Path("/archive"),
        clock=time.time,
    )
    target = routes["t"].target
    try:
        with pytest.raises(TargetUnavailable, match="timed-out"):
            target.deliver(delivery(root=str(tmp_path / "out"), files=["s/a.json"]))
    finally:
        assert isinstance(target, TimeLimited)
        assert target._hanging is not None
        pipe.write_bytes(b"")
        target._hanging.join(10)
    assert not [path for path in (tmp_path / "share").rglob("*") if path.is_file()]
