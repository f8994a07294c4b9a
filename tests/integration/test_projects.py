"""Two projects on two AE titles: one peer sends to both at once, and nothing mixes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from node.cli.demo.phantom import Study, ct_study, mr_study
from node.dimse.scu.requests import Destination, PeerSilent, send
from tests.running import RunningNode, configured, eventually

TITLES = ("PROJ_A", "PROJ_B")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """Its deliveries write each payload into the folder of their project."""
    deliver = []
    for title in TITLES:
        folder = tmp_path / title
        folder.mkdir()
        run = ["/bin/sh", "-c", f"cat > {folder}/.$$ && mv {folder}/.$$ {folder}/$$.json"]
        events = ["ready", "study-ready", "superseded"]
        when = {"CalledAETitle": title}
        deliver.append({"name": title, "events": events, "when": when, "command": {"run": run}})
    running = configured(
        tmp_path,
        deliver,
        dicom={"ae_title": "PROJ_A", "ae_titles": ["PROJ_B"], "check_called_ae": True},
        completion={"quiet_seconds": 0.5, "study_quiet_seconds": 1.5},
    )
    yield running.start()
    running.kill()


def store(node: RunningNode, study: Study, called: str) -> None:
    images = list(study.data_sets)
    contexts = {(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in images}
    there = Destination(
        host="127.0.0.1", port=node.port, called_ae=called, calling_ae="CT1", tls=None, seconds=60
    )
    send(there, images, contexts)


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in folder.glob("*.json")]


def told_twice(folder: Path) -> bool:
    return len(told(folder)) >= 2


def test_what_is_sent_to_two_titles_at_once_never_mixes(node: RunningNode, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    studies = {"PROJ_A": ct_study(now, (32, 32, 12)), "PROJ_B": mr_study(now, (32, 32, 6, 2))}
    threads = [Thread(target=store, args=(node, one, title)) for title, one in studies.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(PeerSilent, match="called AE title"):
        store(node, studies["PROJ_A"], "PROJ_C")
    for title, study in studies.items():
        folder = tmp_path / title
        eventually(partial(told_twice, folder), 90, f"{title} is told")
        payloads = told(folder)
        assert {one["event"] for one in payloads} == {"ready", "study-ready"}
        assert {one["study_instance_uid"] for one in payloads} == {
            str(study.data_sets[0].StudyInstanceUID)
        }
