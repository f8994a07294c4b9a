"""Images as files, and of which revision they are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from node.assemble.volumes.manifest import make_manifest
from node.convert.results import ResultError
from node.convert.results.image import open_result
from node.convert.results.revisions import Fit, find_volume
from node.convert.results.volume_grids import finder
from tests.phantom import Phantom
from tests.unit.assemble.build import headers
from tests.unit.convert.results.worlds import grid_of, plan_of

PHANTOM = Phantom()


def written(path: Path, shape: tuple[int, ...] | None = None, **beside: Any) -> Path:
    """An image on the phantom's grid, with JSON beside it."""
    grid = grid_of(PHANTOM)
    data = np.ones(shape or grid.shape, np.int16)
    nib.save(nib.Nifti1Image(data, grid.affine), path)
    for ending, content in beside.items():
        path.with_name(f"{path.name.split('.')[0]}.{ending.replace('_', '.')}").write_text(
            json.dumps(content)
        )
    return path


def manifest(revision: int = 1, phantom: Phantom = PHANTOM) -> dict[str, Any]:
    return make_manifest(
        plan_of(phantom), proof={"revision": revision}, software="", image="", sha256="",
        left_out=(), refusals=(),
    )  # fmt: skip


def found(path: Path, now: Any, earlier: Any = (), **how: Any) -> Fit:
    find = finder(headers(PHANTOM.instances()))
    return find_volume(open_result(path), [now], list(earlier), find, **how)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.nii.gz", b"no image\n" * 50),
        ("empty.nii", b""),
        ("small.nii.gz", gzip.compress(b"x", mtime=0)),
        ("a.png", b""),
        ("absent.nii", None),
    ],
)
def test_what_is_no_nifti_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ResultError, match="unreadable-image"):
        open_result(tmp_path / name)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, ending: str) -> None:
    whole = written(tmp_path / f"whole{ending}").read_bytes()
    path = tmp_path / f"cut{ending}"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ResultError, match="unreadable-image"):
        open_result(path).read()


def test_dimensions(tmp_path: Path) -> None:
    assert open_result(written(tmp_path / "a.nii", (6, 5, 4, 1))).shape == (6, 5, 4)
    assert open_result(written(tmp_path / "b.nii", (6, 5))).shape == (6, 5, 1)
    with pytest.raises(ResultError, match="wrong-dimensions"):
        open_result(written(tmp_path / "c.nii", (6, 5, 4, 3)))


def test_json_beside_that_is_none_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ResultError, match="unreadable-image"):
        open_result(path)


def test_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    for beside in ({"json": {"FrameOfReferenceUID": "1.2"}},
                   {"manifest_json": {"frame_of_reference_uid": "1.2"}}):  # fmt: skip
        with pytest.raises(ResultError, match=r"frame-of-reference: .*1\.2"):
            found(written(tmp_path / "a.nii", **beside), manifest())
        (tmp_path / "a.json").unlink(missing_ok=True)
    same = {"FrameOfReferenceUID": manifest()["frame_of_reference_uid"]}
    assert found(written(tmp_path / "b.nii", json=same), manifest()).orientation is not None


def test_the_grid_of_an_earlier_revision_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", (6, 5, 3))
    earlier = manifest(1, PHANTOM.but(size=(6, 5, 3)))
    with pytest.raises(ResultError, match=r"outdated-revision: .*revision 1.*revision 2"):
        found(path, manifest(2), [earlier])
    with pytest.raises(ResultError, match="grid-mismatch"):
        found(path, manifest(2))


def test_other_sources_on_the_same_grid_are_another_revision(tmp_path: Path) -> None:
    changed = manifest(1)
    changed["sources"] = [{**one, "sop_instance_uid": "1.2"} for one in changed["sources"]]  # type: ignore[attr-defined]
    path = written(tmp_path / "a.nii")
    for how in ({"revision": 1}, {}):
        if not how:
            path = written(tmp_path / "b.nii", manifest_json=changed)
        with pytest.raises(ResultError, match="outdated-revision"):
            found(path, manifest(2), [changed], **how)
    assert found(path, manifest(2), [manifest(1)], revision=1).manifest["revision"] == 2
    with pytest.raises(ResultError, match="outdated-revision"):
        found(path, manifest(2), revision=9)


def test_another_grid_needs_to_be_resampled(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", (6, 5, 3))
    assert found(path, manifest(), resample=True).orientation is None
