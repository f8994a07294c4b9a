"""Archived and published files that are flipped, cut short, deleted or replaced.

Nothing that is not what was received or published is made into a volume, sent, committed or shown;
it is named at once where it is met, and by one `rasnode verify` else; and what can be healed heals.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from tests.running import RunningNode, dcmtk, eventually, free_port
from tests.small import small_ct

SLICES = 6
DAMAGED, MISSING = "instance-damaged", "instance-missing"


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 0x10
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    """By another valid file: of an instance another slice, of a volume another volume."""
    if path.suffix != ".dcm":
        path.write_bytes(path.read_bytes() + b"\0")
        return
    others = (one for one in sorted(path.parent.glob("*.dcm")) if one != path)
    path.write_bytes(next(others).read_bytes())


def meta_flipped(path: Path) -> None:
    """The length of the meta information, by which a reader would begin elsewhere."""
    content = bytearray(path.read_bytes())
    content[140] ^= 0x02
    path.write_bytes(content)


HARM: dict[str, Callable[[Path], None]] = {
    "flipped": flipped,
    "truncated": truncated,
    "deleted": deleted,
    "replaced": replaced,
    "meta": meta_flipped,
}


TRIED = {
    ".nii.gz": ("flipped", "truncated", "deleted", "replaced"),
    ".json": ("flipped",),
    ".png": ("truncated",),
    ".manifest.json": ("flipped", "deleted"),
}
"""Published files, and what is done to them."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("damage")
    page = free_port()
    sink = {"name": "sink", "ae_title": "SINK", "host": "127.0.0.1", "port": free_port()}
    made = RunningNode(
        folder,
        {"http": {"port": page}, "dicom": {"peers": [sink]}, "completion": {"quiet_seconds": 0.5}},
    )
    made.start()
    yield made
    made.kill()


class Scan:
    """A series of the node, ready, and the files that it was sent from."""

    def __init__(self, node: RunningNode, folder: Path) -> None:
        self.node = node
        self.paths = small_ct(folder, SLICES, announced=True, description=folder.name)
        first = dcmread(self.paths[0])
        self.uid, self.study = str(first.SeriesInstanceUID), str(first.StudyInstanceUID)
        node.send(*self.paths)
        self.wait("ready")

    def instances(self) -> list[dict[str, Any]]:
        return [one for one in self.node.instances() if one["series_instance_uid"] == self.uid]

    def archived(self, path: Path) -> Path:
        uid = str(dcmread(path).SOPInstanceUID)
        (found,) = [one for one in self.instances() if one["sop_instance_uid"] == uid]
        return Path(found["path"])

    def row(self) -> dict[str, Any]:
        (found,) = [one for one in self.node.series() if one["series_instance_uid"] == self.uid]
        return found

    def wait(self, state: str, revision: int = 0, seconds: float = 30) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            with suppress(ValueError):
                row = self.row()
                return row if row["state"] == state and row["revision"] >= revision else None
            return None

        return eventually(reached, seconds, f"{self.uid} is {state} in revision {revision}")

    def check_volume(self) -> None:
        """What is published is right, whatever happened."""
        outputs = [Path(name) for name in self.row()["outputs"]]
        (image,) = [name for name in outputs if name.name.endswith(".nii.gz")]
        (manifest,) = [name for name in outputs if name.name.endswith(".manifest.json")]
        volume = nibabel.load(image)
        wanted = np.broadcast_to(np.arange(1, SLICES + 1), (32, 32, SLICES))
        assert np.array_equal(volume.get_fdata(), wanted)
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        assert json.loads(manifest.read_text())["sha256"] == digest


@pytest.fixture
def scan(node: RunningNode, tmp_path: Path) -> Scan:
    return Scan(node, tmp_path / "scan")


def verified(node: RunningNode, *options: str) -> tuple[int, dict[str, Any]]:
    done = node.rasnode("verify", "--json", *options, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def health(node: RunningNode) -> dict[str, str]:
    answer = httpx.get(f"http://127.0.0.1:{node._ports[1]}/health", timeout=20)
    faults: dict[str, str] = answer.json()["faults"]
    assert answer.status_code == (503 if faults else 200)
    return faults


def pixels(paths: list[Path]) -> set[bytes]:
    return {dcmread(path).PixelData for path in paths}


def named(node: RunningNode, word: str) -> None:
    """It is in /health, which looks every two seconds."""
    eventually(lambda: word in health(node).get("damage", ""), 40, word)


def well(node: RunningNode) -> None:
    """Nothing is damaged any more."""
    eventually(lambda: not health(node), 20, f"healthy: {health(node)}")


def get(scan: Scan, folder: Path) -> tuple[str, list[Path]]:
    """C-GET of a series: what DCMTK says, and what came."""
    folder.mkdir()
    done = subprocess.run(
        [
            dcmtk("getscu"), "-d", "-aec", "RASNODE", "-S", "-k", "QueryRetrieveLevel=SERIES",
            "-k", f"SeriesInstanceUID={scan.uid}", "-k", f"StudyInstanceUID={scan.study}",
            "+B", "-od", str(folder),
            "127.0.0.1", str(scan.node.port),
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr, sorted(folder.iterdir())


def test_damaged_instances_are_named_make_nothing_and_heal(scan: Scan, tmp_path: Path) -> None:
    """Every kind of damage at once; the last slice stays whole, and so does the data set of one."""
    node = scan.node
    harmed = dict(zip(HARM, scan.paths, strict=False))
    reasons = {
        str(dcmread(path).SOPInstanceUID): MISSING if harm == "deleted" else DAMAGED
        for harm, path in harmed.items()
    }
    files = {harm: scan.archived(path) for harm, path in harmed.items()}
    whole = [scan.paths[-1], harmed["meta"]]
    for harm, file in reversed(files.items()):  # "replaced" takes one that is whole
        HARM[harm](file)

    said, came = get(scan, tmp_path / "came")
    assert pixels(came) == pixels(whole)  # the data set alone is sent, without meta information
    assert f"Number of Failed Suboperations    : {len(files) - 1}" in said
    named(node, DAMAGED)  # they were met: no `verify` was needed
    node.rasnode("retry", scan.uid)
    refusals = scan.wait("failed")["evidence"]["refusals"]
    assert {one["reason"] for one in refusals} == {DAMAGED, MISSING}
    refused = {uid for one in refusals for uid in one["instances"]}
    assert refused == {str(dcmread(path).SOPInstanceUID) for path in scan.paths} - {
        str(dcmread(path).SOPInstanceUID) for path in whole
    }
    scan.check_volume()  # what was made before the damage is right, and stays
    code, found = verified(node)
    assert code == 1
    assert {one["sop_instance_uid"]: one["reason"] for one in found["damaged"]} == reasons

    node.send(*scan.paths)
    scan.wait("ready")
    scan.check_volume()
    code, found = verified(node)
    assert (code, found["damaged"]) == (0, [])
    assert pixels(get(scan, tmp_path / "again")[1]) == pixels(scan.paths)
    well(node)


def test_a_damaged_instance_is_not_committed(node: RunningNode, scan: Scan) -> None:
    from node.dimse.scp.commitment_messages import failure_reason
    from node.storage.archive import Archive
    from node.storage.index.engine import Index
    from node.storage.index.peers.commitments import Commitments

    flipped(scan.archived(scan.paths[0]))
    deleted(scan.archived(scan.paths[1]))
    index = Index(f"sqlite:///{node.root}/index.db")
    try:
        references = [
            (str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in map(dcmread, scan.paths)
        ]
        held = Commitments(index).held([uid for _, uid in references])
        met: list[str] = []
        said = [
            failure_reason(
                Archive(node.root), held[one[1]], one, lambda one: met.append(one.sop_instance_uid)
            )
            for one in references
        ]
        assert said == [0x0110, 0x0110, *[None] * (SLICES - 2)]
        assert met == [uid for _, uid in references[:2]]
    finally:
        index.close()
    node.send(*scan.paths)
    scan.wait("ready")
    well(node)


def test_damaged_outputs_are_not_shown_and_made_again(scan: Scan) -> None:
    revision = 1
    good = {name: Path(name).read_bytes() for name in scan.row()["outputs"]}
    page = f"http://127.0.0.1:{scan.node._ports[1]}/api/series/{scan.uid}"
    for ending, harms in TRIED.items():
        for harm in harms:
            victim = Path(min((name for name in good if name.endswith(ending)), key=len))
            HARM[harm](victim)
            number = scan.row()["outputs"].index(str(victim))
            answer = httpx.get(f"{page}/files/{number}")
            assert answer.status_code == 503, (ending, harm)
            assert "output-" in answer.json()["detail"]
            revision += 1
            scan.wait("ready", revision)
            assert httpx.get(f"{page}/files/{number}").content == victim.read_bytes()
    scan.check_volume()
    for name, content in good.items():
        if not name.endswith(".manifest.json"):
            assert Path(name).read_bytes() == content
    assert verified(scan.node)[0] == 0


def test_an_output_that_nobody_asks_for_is_found_by_verify(node: RunningNode, scan: Scan) -> None:
    image = next(name for name in scan.row()["outputs"] if name.endswith(".nii.gz"))
    flipped(Path(image))
    code, found = verified(node)
    assert code == 1
    assert [one["reason"] for one in found["damaged"]] == ["output-damaged"]
    scan.wait("ready", revision=2)
    scan.check_volume()
    assert verified(node)[0] == 0


def test_damage_while_the_node_is_stopped(node: RunningNode, scan: Scan) -> None:
    """And a whole folder that is gone: it is made again for what is sent again."""
    folder = scan.archived(scan.paths[0]).parent
    assert node.terminate() == 0
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    code, found = verified(node)
    assert code == 1
    assert [one["reason"] for one in found["damaged"]] == [MISSING] * SLICES
    warned = node.rasnode("status").stdout
    assert f"{MISSING}: SOP Instance" in warned
    told = json.loads(node.rasnode("doctor", "--json", "--only", "damage", check=False).stdout)
    assert told[0]["grade"] == "wrong"
    node.start()
    named(node, MISSING)
    metrics = httpx.get(f"http://127.0.0.1:{node._ports[1]}/metrics").text
    assert f'rasnode_damaged_files{{reason="{MISSING}"}} {SLICES}.0' in metrics
    node.rasnode("retry", scan.uid)
    scan.wait("failed")
    node.rasnode("import", str(scan.paths[0].parent))  # is as good as sending
    scan.wait("ready")
    scan.check_volume()
    assert verified(node)[0] == 0
    well(node)


def test_what_is_put_back_by_hand_is_well_again(node: RunningNode, scan: Scan) -> None:
    file = scan.archived(scan.paths[2])
    content = file.read_bytes()
    flipped(file)
    node.rasnode("retry", scan.uid)
    scan.wait("failed")
    file.write_bytes(content)
    assert verified(node, "--sample", "1")[0] == 0
    scan.wait("ready")


def test_a_conflicting_data_set_heals_too(node: RunningNode, scan: Scan, tmp_path: Path) -> None:
    other = dcmread(scan.paths[0])
    other.PixelData = bytes(len(other.PixelData))
    changed = tmp_path / "other.dcm"
    other.save_as(changed)
    node.send(changed)

    def beside() -> list[dict[str, Any]]:
        return [one for one in scan.instances() if one.get("conflict")]

    (conflict,) = eventually(beside, 20, "the conflict is kept")
    flipped(Path(conflict["path"]))
    assert verified(node)[0] == 1
    node.send(changed)
    eventually(lambda: verified(node)[0] == 0, 20, "the conflict is whole again")
    assert len(beside()) == 1


def test_the_node_looks_by_itself_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """`storage.verify_days`, here some seconds."""
    node = RunningNode(
        tmp_path, {"storage": {"verify_days": 2 / 86400}, "http": {"port": free_port()}}
    )
    node.start()
    try:
        scan = Scan(node, tmp_path / "scan")
        truncated(scan.archived(scan.paths[3]))
        named(node, DAMAGED)
        assert node.terminate() == 0
        node.start()
        named(node, DAMAGED)
        node.send(scan.paths[3])
        well(node)
    finally:
        node.kill()
