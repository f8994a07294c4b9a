"""Import and reindex: files that do not come over the network, and an index that can be remade."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import examples

from tests.running import RunningNode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two DICOM files, the first twice, and something else."""
    made = tmp_path / "files"
    made.mkdir()
    for number, name in enumerate(["ct", "mr"]):
        made.joinpath(f"{number}.dcm").write_bytes(Path(examples.get_path(name)).read_bytes())
    made.joinpath("again.dcm").write_bytes(made.joinpath("0.dcm").read_bytes())
    made.joinpath("notes.txt").write_text("no DICOM at all")
    return made


def test_import_takes_what_is_dicom_and_lists_the_rest(folder: Path, tmp_path: Path) -> None:
    node = RunningNode(tmp_path)
    result = node.rasnode("import", str(folder))
    assert "2 imported, 1 were there already, 0 in conflict, 1 not imported" in result.stdout
    assert "notes.txt" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(node.instances()) == 2


def test_import_of_nothing_usable_fails(tmp_path: Path) -> None:
    node = RunningNode(tmp_path)
    junk = tmp_path / "junk"
    junk.write_text("junk")
    assert node.rasnode("import", str(junk), check=False).returncode == 1
    assert node.rasnode("import", str(tmp_path / "gone"), check=False).returncode == 2


def test_import_beside_a_running_node_is_judged_like_what_is_sent(
    folder: Path, tmp_path: Path
) -> None:
    node = RunningNode(tmp_path, {"completion": {"quiet_seconds": 0.5}}).start()
    try:
        node.rasnode("import", str(folder), "--wait")
        states = {series["modality"]: series["state"] for series in node.series()}
    finally:
        node.kill()
    assert states == {"MR": "ready", "CT": "held"}  # the CT says that it is one of 44 images


def test_reindex_finds_everything_again(folder: Path, tmp_path: Path) -> None:
    node = RunningNode(tmp_path)
    node.rasnode("import", str(folder))
    before = sorted(map(str, node.instances()))
    for path in node.root.glob("index.db*"):
        path.unlink()
    result = node.rasnode("reindex")
    assert "2 instances indexed" in result.stdout
    assert sorted(map(str, node.instances())) == before


def test_reindex_leaves_a_running_node_alone(folder: Path, node: RunningNode) -> None:
    node.rasnode("import", str(folder))
    result = node.rasnode("reindex", check=False)
    assert result.returncode == 2
    assert "another rasnode" in result.stderr
