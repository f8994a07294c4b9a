"""What goes out by the API of a running node: a mask to a PACS, links that a receiver follows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydicom.dataset import Dataset

from tests.hooks import Receiver, listening
from tests.integration.test_results import PHANTOM, SEG, masked, peer
from tests.integration.test_users import rasnode
from tests.phantom import save
from tests.running import RunningNode, configured, eventually, free_port

LABELS = {"Labels": [{"value": 2, "name": "Left"}, {"value": 9, "name": "Right"}]}


@dataclass
class Served:
    """A node with one series, tokens of its users by their roles, its PACS and a webhook."""

    node: RunningNode
    page: str
    tokens: dict[str, str]
    pacs: int
    hook: Receiver

    def ask(self, method: str, url: str, role: str | None, **options: Any) -> httpx.Response:
        """What the page answers to somebody of a role; None: to nobody."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        whole = url if url.startswith("http") else self.page + url
        return httpx.request(method, whole, headers=headers, timeout=120, **options)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, pacs, port = tmp_path_factory.mktemp("page"), free_port(), free_port()
    with listening() as hook:
        webhook = {"url": hook.url, "payload": {"links": True}}
        node = configured(
            folder,
            [{"name": "hook", "events": ["ready"], "webhook": webhook}],
            completion={"quiet_seconds": 0.5},
            http={"port": port, "auth": {"local": True}},
        )
        config = yaml.safe_load(node.config.read_text())
        config["dicom"]["peers"] = [
            {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs}
        ]
        node.config.write_text(yaml.safe_dump(config))
        tokens = {
            role: rasnode(node, "user", "token", role, "--role", role).stdout.strip()
            for role in ("viewer", "operator")
        }
        try:
            node.start()
            save(PHANTOM.instances(), folder / "in")
            node.send(folder / "in")
            node.settle(states=["ready"])
            yield Served(node, f"http://127.0.0.1:{port}", tokens, pacs, hook)
        finally:
            node.kill()


def voxels(result: Dataset) -> Counter[str]:
    """How many voxels each segment has, by its label."""
    names = {one.SegmentNumber: one.SegmentLabel for one in result.SegmentSequence}
    found: Counter[str] = Counter()
    frames = result.pixel_array.reshape(-1, result.Rows, result.Columns)
    for frame, group in zip(frames, result.PerFrameFunctionalGroupsSequence, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[names[number]] += int(frame.sum())
    return found


def test_a_mask_that_is_sent_by_the_api_arrives_in_the_pacs(served: Served, tmp_path: Path) -> None:
    mask = masked(served.node, tmp_path / "mask.nii.gz")
    files = {
        "image": ("mask.nii.gz", (tmp_path / "mask.nii.gz").read_bytes()),
        "labels": ("labels.json", json.dumps(LABELS).encode()),
    }
    order = {"as": "seg", "send": "pacs", "description": "by the page"}
    url = f"/api/series/{PHANTOM.series}/results"
    assert served.ask("POST", url, "viewer", files=files, data=order).status_code == 403
    answer = served.ask("POST", url, "operator", files=files, data=order)
    assert answer.status_code == 202, answer.text

    def listed() -> dict[str, Any]:
        page = served.ask("GET", "/api/deliveries?event=result", "viewer").json()
        (one,) = page["deliveries"]
        assert one["target"] == "pacs"
        found: dict[str, Any] = one
        return found

    eventually(lambda: listed()["reason"], 60, "the page says why it is not there yet")
    with peer(served.pacs) as got:
        eventually(lambda: listed()["state"] == "delivered", 400, "the PACS has it")
        (result,) = got
    assert (result.SOPClassUID, result.SeriesDescription) == (SEG, "by the page")
    assert answer.json()["instances"] == [result.SOPInstanceUID]
    assert voxels(result) == {"Left": int((mask == 2).sum()), "Right": int((mask == 9).sum())}
    sources = {
        one.ReferencedSOPInstanceUID
        for series in result.ReferencedSeriesSequence
        for one in series.ReferencedInstanceSequence
    }
    assert sources <= {one["sop_instance_uid"] for one in served.node.instances()}


def test_a_receiver_fetches_each_instance_by_its_link_and_a_token(served: Served) -> None:
    (told,) = eventually(lambda: served.hook.came, 60, "the webhook was told")
    stored = {one["sop_instance_uid"]: Path(one["path"]) for one in served.node.instances()}
    own = {uid: path for uid, path in stored.items() if PHANTOM.series in str(path)}
    assert len(told["instances"]) == len(own) == PHANTOM.size[2]
    for link in told["instances"]:
        answer = served.ask("GET", link, "viewer")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom")
        assert answer.content == own[link.rpartition("/")[2]].read_bytes()
    assert served.ask("GET", told["instances"][0], None).status_code == 401
    assert served.ask("GET", told["instances"][0] + "9", "viewer").status_code == 404


def test_what_is_no_image_is_refused_by_name_and_tells_no_folder(served: Served) -> None:
    url = f"/api/series/{PHANTOM.series}/results"
    files = {"image": ("../../mask.nii.gz", b"no image")}
    answer = served.ask("POST", url, "operator", files=files, data={"as": "seg"})
    assert answer.status_code == 422
    assert "unreadable-image: image.nii.gz" in answer.json()["detail"]
    assert str(served.node.root) not in answer.text
