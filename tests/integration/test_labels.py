"""Labels that come before their images: made on a grid of their own if they state one, otherwise
refused with a reason; and made on the images' grid by themselves when those come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.phantom import save
from tests.running import RunningNode, eventually, manifests
from tests.unit.assemble import test_annotations as annotations
from tests.unit.assemble.test_labels import (
    LABELS,
    PHANTOM,
    A,
    check,
    images,
    segmentation,
    unstated,
)

REPORT, COMPLETE = f"{LABELS}.1", f"{LABELS}.2"
ALL = (LABELS, REPORT, COMPLETE)


def test_whichever_comes_first(tmp_path: Path) -> None:
    node = RunningNode(
        tmp_path, {"completion": {"quiet_seconds": 0.5}, "output": {"compress": False}}
    ).start()
    try:
        labels, complete = segmentation([A]), segmentation([A])
        report = annotations.report(
            annotations.planar("spot", annotations.region(3, "POINT", [(3.5, 4.5)])),
            annotations.planar("area", annotations.region(2, "POLYLINE", annotations.RECTANGLE)),
        )
        for uid, made in zip(ALL, (labels, report, complete), strict=True):
            made.SeriesInstanceUID = uid
        unstated(labels)
        save([labels, report, complete], tmp_path / "labels")
        node.send(tmp_path / "labels", options=["--required"])
        for one in node.settle():
            if one["series_instance_uid"] == COMPLETE:
                assert one["state"] == "ready"
            else:
                assert one["state"] == "not-a-volume"
                assert one["why"].startswith("missing-reference")
        save(images(), tmp_path / "images")
        node.send(tmp_path / "images")
        eventually(lambda: len(_on_images(node)) == 4, 30, "labels on the grid of their images")
    finally:
        node.kill()
    on_images = _on_images(node)
    for uid in (LABELS, COMPLETE):
        (path,) = (path for path, told in on_images if told["series_instance_uid"] == uid)
        check(path.with_name(_read(path)["image"]), 1, np.asarray(A))
    drawn = [(path, told) for path, told in on_images if told["series_instance_uid"] == REPORT]
    (spots,) = (path for path, told in drawn if not told["image"])
    (area,) = (path.with_name(told["image"]) for path, told in drawn if told["image"])
    check(area, 2, annotations.inside(2))
    listed = json.loads(Path(str(spots).removesuffix(".manifest.json") + ".json").read_text())
    assert [one["name"] for one in listed["Points"]] == ["spot"]


def _on_images(node: RunningNode) -> list[tuple[Path, dict[str, Any]]]:
    """Manifests of what is on the grid of the images that it refers to."""
    found = [(path, _read(path)) for path in manifests(node)]
    return [
        (path, told)
        for path, told in found
        if told.get("reference_series_instance_uid") == PHANTOM.series and not told.get("own_grid")
    ]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
