"""A segmentation that comes before its images: refused with a reason, then made on its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.phantom import save
from tests.running import RunningNode, eventually, manifests
from tests.unit.assemble.test_labels import LABELS, A, check, images, segmentation


def test_whichever_comes_first(tmp_path: Path) -> None:
    node = RunningNode(
        tmp_path, {"completion": {"quiet_seconds": 0.5}, "output": {"compress": False}}
    ).start()
    try:
        labels = segmentation([A])
        labels.SeriesInstanceUID = LABELS
        save([labels], tmp_path / "labels")
        node.send(tmp_path / "labels", options=["--required"])
        (waiting,) = node.settle()
        assert waiting["state"] == "not-a-volume"
        assert waiting["why"].startswith("missing-reference")
        save(images(), tmp_path / "images")
        node.send(tmp_path / "images")
        eventually(lambda: len(manifests(node)) == 2, 30, "two volumes")
    finally:
        node.kill()
    told = {one["series_instance_uid"]: one for one in map(_read, manifests(node))}
    assert told[LABELS]["reference_series_instance_uid"] in told
    (path,) = (one for one in manifests(node) if _read(one)["series_instance_uid"] == LABELS)
    check(path.with_name(told[LABELS]["image"]), 1, np.asarray(A))


def _read(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_text())
    return found
