"""Results of a real node: into files, to a peer that is away for a while, and from a command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from tests.phantom import Phantom, oblique, save
from tests.running import RunningNode, eventually, free_port, manifests

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
PHANTOM = Phantom(
    rotation=oblique((0.1, -0.2, 0.3)),
    size=(12, 10, 6),
    attributes={"PatientID": "R1", "SeriesDescription": "for results", "StudyDate": "20260101"},
)
SCRIPT = """
import json, os, sys
import nibabel as nib, numpy as np
payload = json.load(sys.stdin)
folder = os.environ["RASNODE_RESULTS"]
assert os.listdir(folder) == []
assert all(os.path.isfile(path) for path in payload["instances"]), payload["instances"]
image = nib.load(sys.argv[1])
data = np.asarray(image.dataobj)
mask = (data > np.median(data)).astype(np.int16) * 4
nib.save(nib.Nifti1Image(mask, image.affine), os.path.join(folder, "high.nii.gz"))
labels = {"Labels": [{"value": 4, "name": "High"}]}
json.dump(labels, open(os.path.join(folder, "high.json"), "w"))
sys.exit(int(sys.argv[2]))
"""


@contextmanager
def peer(port: int) -> Iterator[list[Dataset]]:
    """A storage SCP; yields what it gets."""
    got: list[Dataset] = []

    def store(event: evt.Event) -> int:
        data_set = event.dataset
        data_set.file_meta = event.file_meta
        got.append(data_set)
        return 0

    ae = AE(ae_title="PACS")
    ae.add_supported_context(SEG)
    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    try:
        yield got
    finally:
        server.shutdown()


def uids(got: list[Dataset]) -> list[str]:
    """The SOP Instance UIDs of what a peer got."""
    return [str(one.SOPInstanceUID) for one in got]


def told(name: str, code: int, script: Path) -> dict[str, Any]:
    """An entry of `deliver:` whose command answers with a mask and ends with a code."""
    return {
        "name": name,
        "when": {"SeriesDescription": name},
        "command": {
            "run": [sys.executable, str(script), "{image}", str(code)],
            "results": {"as": "seg", "send": "pacs"},
        },
    }


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[RunningNode]:
    """A node that has one series, and a peer that is away."""
    folder = tmp_path_factory.mktemp("results")
    script = folder / "answer.py"
    script.write_text(SCRIPT)
    made = RunningNode(folder, {"completion": {"quiet_seconds": 0.3}})
    config = yaml.safe_load(made.config.read_text())
    config["dicom"]["peers"] = [
        {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port}
    ]
    config["deliver"] = [told("answered", 0, script), told("failed", 3, script)]
    made.config.write_text(yaml.safe_dump(config))
    made.start()
    try:
        save(PHANTOM.instances(), folder / "in")
        made.send(folder / "in")
        made.settle(states=["ready"])
        yield made
    finally:
        made.kill()


def masked(node: RunningNode, path: Path) -> np.ndarray:
    """Write a mask on the grid of the node's first volume."""
    (manifest,) = (
        one for one in manifests(node)
        if json.loads(one.read_text())["series_instance_uid"] == PHANTOM.series
    )  # fmt: skip
    image = nib.load(manifest.with_name(json.loads(manifest.read_text())["image"]))
    mask = np.zeros(image.shape, np.int16)
    mask[2:6, 1:7, 1:4] = 2
    mask[7:9, 3:5, 2:5] = 9
    nib.save(nib.Nifti1Image(mask, image.affine), path)
    return mask


def test_a_mask_comes_back_voxel_for_voxel(node: RunningNode, tmp_path: Path) -> None:
    mask = masked(node, tmp_path / "mask.nii.gz")
    out = tmp_path / "out.dcm"
    arguments = ["result", str(tmp_path / "mask.nii.gz"), "--of", PHANTOM.series, "-o", str(out)]
    said = json.loads(node.rasnode(*arguments, "--description", "Test", "--json").stdout)
    result = dcmread(out)
    assert said["instances"] == [result.SOPInstanceUID]
    assert result.SeriesNumber == 8  # the study has 7
    assert (result.SeriesDescription, result.PatientID) == ("Test", "R1")
    save([result], tmp_path / "back")
    node.send(tmp_path / "back", options=["--required"])

    def published() -> list[dict[str, Any]]:
        read = (json.loads(one.read_text()) | {"path": one} for one in manifests(node))
        return [one for one in read if one["series_instance_uid"] == result.SeriesInstanceUID]

    (label_map,) = eventually(published, 30, "the label map")
    back = np.asarray(nib.load(label_map["path"].with_name(label_map["image"])).dataobj)
    assert np.array_equal(back, np.select([mask == 2, mask == 9], [1, 2]))


def test_a_peer_that_is_away_gets_it_once(node: RunningNode, port: int, tmp_path: Path) -> None:
    masked(node, tmp_path / "mask.nii.gz")
    out = tmp_path / "folder"
    arguments = ["result", str(tmp_path / "mask.nii.gz"), "--of", PHANTOM.series]
    node.terminate()
    node.rasnode(*arguments, "--send", "pacs", "--as", "rtstruct")  # which the peer does not store
    node.rasnode(*arguments, "--send", "pacs", "-o", f"{out}/")
    (path,) = out.iterdir()
    waited = node.rasnode(*arguments, "--send", "pacs", "--wait", check=False)
    assert waited.returncode == 1
    assert "No node runs" in waited.stderr
    node.start()
    with peer(port) as got:
        wanted = dcmread(path)
        eventually(lambda: wanted.SOPInstanceUID in uids(got), 30, "what the folder has, too")
        eventually(lambda: len(got) >= 2, 30, "both results")
        node.rasnode(*arguments, "--send", "pacs", "--wait")
        assert len(got) >= 3  # and what other tests have left for this peer
    assert len(set(uids(got))) == len(got)
    (same,) = (one for one in got if one.SOPInstanceUID == wanted.SOPInstanceUID)
    assert same.PixelData == wanted.PixelData


def test_a_command_answers(node: RunningNode, port: int, tmp_path: Path) -> None:
    with peer(port) as got:
        for number, name in enumerate(("failed", "answered"), 2):
            phantom = PHANTOM.but(
                series=f"{PHANTOM.series}.{number}",
                attributes={**PHANTOM.attributes, "SeriesDescription": name},
            )
            save(phantom.instances(), tmp_path / name)
            node.send(tmp_path / name)
        eventually(lambda: got, 30, "the answer")
        node.settle()
    (one,) = got
    assert [item.SegmentLabel for item in one.SegmentSequence] == ["High"]
    assert one.SegmentSequence[0].SegmentAlgorithmName == "answered"
    assert one.ReferencedSeriesSequence[0].SeriesInstanceUID == f"{PHANTOM.series}.3"


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["--of", "1.2.3", "-o", "x.dcm"], 1, "no-such-series"),
        (["--of", PHANTOM.series, "--send", "nowhere"], 1, "unknown-peer"),
        (["--of", PHANTOM.series], 2, "-o FILE_OR_FOLDER"),
        (["--of", PHANTOM.series, "-o", "x.dcm", "--algorithm", "x"], 2, "NAME,VERSION"),
        (["--of", PHANTOM.series, "-o", "x.dcm", "--labels", "/nowhere.json"], 1, "bad-labels"),
    ],
)
def test_refused_by_name(
    node: RunningNode, tmp_path: Path, arguments: list[str], code: int, name: str
) -> None:
    masked(node, tmp_path / "mask.nii.gz")
    done = node.rasnode("result", str(tmp_path / "mask.nii.gz"), *arguments, check=False)
    assert (done.returncode, name in done.stderr) == (code, True), done.stderr
