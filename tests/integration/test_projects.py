"""Two projects on two AE titles: one peer sends to both at once, and nothing mixes."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.cli.demo.phantom import ct_study
from node.dimse.scu.requests import Destination, PeerSilent, send
from tests.phantom import save
from tests.running import RunningNode, configured, eventually
from tests.unit.lifecycle.test_split_runs import converted, run

TITLES = ("PROJ_A", "PROJ_B")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """Each project has its volumes in a folder, and its deliveries write payloads into another."""
    deliver, rules = [], []
    for title in TITLES:
        folder = tmp_path / title
        folder.mkdir()
        shell = ["/bin/sh", "-c", f"cat > {folder}/.$$ && mv {folder}/.$$ {folder}/$$.json"]
        events = ["ready", "study-ready", "superseded"]
        when = {"CalledAETitle": title}
        deliver.append({"name": title, "events": events, "when": when, "command": {"run": shell}})
        rules.append({"when": when, "name": f"{title}/{{SeriesNumber}}_{{Modality}}"})
    running = configured(
        tmp_path,
        deliver,
        dicom={"ae_title": "PROJ_A", "ae_titles": ["PROJ_B"], "check_called_ae": True},
        completion={"quiet_seconds": 0.5, "study_quiet_seconds": 1.5},
        output={"rules": rules},
    )
    yield running.start()
    running.kill()


def store(
    node: RunningNode, images: Sequence[Dataset], called: str, turns: Barrier | None = None
) -> None:
    """Send images to one of the titles.

    Args:
        turns: each image waits there for one of the other project.
    """
    contexts = {(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in images}
    there = Destination(
        host="127.0.0.1", port=node.port, called_ae=called, calling_ae="CT1", tls=None, seconds=60
    )

    def in_turn() -> Iterator[Dataset]:
        for image in images:
            if turns is not None:
                turns.wait(60)
            yield image

    send(there, in_turn(), contexts)


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in folder.glob("*.json")]


def told_twice(folder: Path) -> bool:
    return len(told(folder)) >= 2


def test_what_is_sent_to_two_titles_at_once_never_mixes(node: RunningNode, tmp_path: Path) -> None:
    """One project sends a CT, the other one a run that its scanner has split into series."""
    volumes = run()
    split = [one for volume in volumes for one in volume]
    save(split, tmp_path / "split")
    random.Random(3).shuffle(split)
    made = {"PROJ_A": list(ct_study(datetime.now(UTC), (32, 32, len(split))).data_sets)}
    made["PROJ_B"] = split
    turns = Barrier(len(made))
    threads = [
        Thread(target=store, args=(node, images, title, turns)) for title, images in made.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(PeerSilent, match="called AE title"):
        store(node, made["PROJ_A"], "PROJ_C")
    for title, images in made.items():
        folder = tmp_path / title
        eventually(partial(told_twice, folder), 90, f"{title} is told")
        payloads = told(folder)
        assert {one["event"] for one in payloads} == {"ready", "study-ready"}
        study = {str(images[0].StudyInstanceUID)}
        assert {one["study_instance_uid"] for one in payloads} == study
        assert {name.split("/")[0] for one in payloads for name in one["files"]} == {title}
        manifests = (node.root / "nifti" / title).glob("*.manifest.json")
        assert {json.loads(one.read_bytes())["study_instance_uid"] for one in manifests} == study
    image, sidecar = converted(volumes, tmp_path / "convert")
    joined = node.root / "nifti" / "PROJ_B" / "7_MR.nii.gz"
    assert gzip.decompress(joined.read_bytes()) == gzip.decompress(image)
    assert joined.with_name("7_MR.json").read_bytes() == sidecar
