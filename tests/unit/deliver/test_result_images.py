"""What a command is told of instances, and what is taken of what it leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.core.events import Delivery
from node.core.records import StoredInstance
from node.core.settings.deliver import CommandSettings, ResultsSettings, WebhookSettings
from node.deliver.payload import with_links, with_paths
from node.deliver.targets.command import Command
from node.deliver.targets.target import DeliveryFailed
from node.deliver.targets.webhook import Webhook
from tests.unit.deliver.samples import delivery
from tests.unit.deliver.test_targets import hook

LEAVE = "import os, pathlib; pathlib.Path(os.environ['RASNODE_RESULTS'], 'a.nii.gz').touch()"


class Taker:
    """Notes what it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: list[list[str]] = []
        self.discarded = 0

    def workspace(self, _delivery: Delivery) -> Path:
        self.folder.mkdir()
        return self.folder

    def take(self, _delivery: Delivery, settings: ResultsSettings, folder: Path) -> None:
        assert (settings.kind, settings.send) == ("seg", "pacs")
        self.taken.append(sorted(path.name for path in folder.iterdir()))

    def discard(self, folder: Path) -> None:
        assert folder == self.folder
        self.discarded += 1


@pytest.fixture
def taker(tmp_path: Path) -> Iterator[Taker]:
    made = Taker(tmp_path / "attempt")
    yield made
    assert made.discarded == 1


def answering(taker: Taker, code: str) -> Command:
    settings = CommandSettings.model_validate(
        {"run": [sys.executable, "-c", code], "results": {"as": "seg", "send": "pacs"}}
    )
    return Command(settings, lambda _pk: {}, None, taker)


def test_what_a_command_leaves_is_taken(taker: Taker) -> None:
    answering(taker, LEAVE).deliver(delivery())
    assert taker.taken == [["a.nii.gz"]]


def test_a_command_that_fails_answers_nothing(taker: Taker) -> None:
    with pytest.raises(DeliveryFailed):
        answering(taker, f"{LEAVE}; raise SystemExit(3)").deliver(delivery())
    assert taker.taken == []


def stored(uid: str, *, conflict: bool = False) -> StoredInstance:
    return StoredInstance(uid, "1", "2", f"ab/{uid}.dcm", 1, "", 0, None, None, 0.0, b"", None,
                          conflict)  # fmt: skip


def test_payloads_name_the_instances_that_there_are() -> None:
    there = [stored("1.1"), stored("1.2"), stored("1.2", conflict=True)]
    told = with_paths(lambda _pk: there, Path("/archive"))(delivery())
    assert told["instances"] == ["/archive/ab/1.1.dcm", "/archive/ab/1.2.dcm"]
    told = with_links(lambda _pk: there, "http://127.0.0.1:8080")(delivery())
    assert told["instances"] == [
        f"http://127.0.0.1:8080/api/series/1.5/instances/{uid}" for uid in ("1.1", "1.2")
    ]
    assert delivery().payload.items() <= told.items()


def test_a_webhook_names_them_too() -> None:
    told = with_paths(lambda _pk: [stored("1.1")], Path("/archive"))
    with hook() as there:
        Webhook(WebhookSettings(url=there.url), lambda: 0.0, told).deliver(delivery())
    ((_, body),) = there.seen
    assert json.loads(body)["instances"] == ["/archive/ab/1.1.dcm"]
