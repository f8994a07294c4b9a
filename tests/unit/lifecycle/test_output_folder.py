"""Publishing: whole or not at all, and finished by the next try whatever cut it off."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from node.lifecycle.assembly import output_folder as module
from node.lifecycle.assembly.output_folder import OutputFolder, PublishingDelayed

POINTS = [
    "publish-staged",
    "publish-old-manifest-aside",
    "publish-some-files",
    "publish-all-files",
    "publish-some-manifests",
    "publish-visible",
]


class Cut(BaseException):
    """The power goes out."""


def staged(output_folder: OutputFolder, revision: int, stems: list[str], name: str = "job") -> Path:
    folder = output_folder.staging(f"{name}{revision}")
    for stem in stems:
        (folder / f"{stem}.nii.gz").write_text(f"voxels of {revision}")
        (folder / f"{stem}.json").write_text(f"sidecar of {revision}")
        manifest = {"revision": revision, "series_instance_uid": "1.5"}
        (folder / f"{stem}.manifest.json").write_text(json.dumps(manifest))
    return folder


def put(output_folder: OutputFolder, revision: int, stems: list[str], known: list[str]) -> None:
    folder = staged(output_folder, revision, stems)
    names = [path.name for path in folder.iterdir()]
    output_folder.publish(folder, "study", names, revision, [f"study/{stem}" for stem in known])


def visible(root: Path) -> dict[str, Any]:
    return {
        path.name: path.read_text()
        for path in sorted((root / "study").iterdir())
        if not path.name.startswith(".")
    }


@pytest.fixture
def output_folder(tmp_path: Path) -> OutputFolder:
    made = OutputFolder(tmp_path)
    made.prepare()
    return made


def test_files_and_folders_are_for_the_group_alone(
    output_folder: OutputFolder, tmp_path: Path
) -> None:
    put(output_folder, 1, ["a"], ["a"])
    assert stat.S_IMODE((tmp_path / "study").stat().st_mode) == 0o750
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "study").iterdir()}
    assert modes == {0o640}


def test_the_manifest_comes_last_and_the_old_one_goes_first(
    output_folder: OutputFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(output_folder, 1, ["a"], ["a"])
    moves = []
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        moves.append(Path(target).name)
        real(source, target)

    monkeypatch.setattr(module.os, "replace", replace)
    put(output_folder, 2, ["a"], ["a"])
    assert moves == ["a.manifest.r1.json", "a.json", "a.nii.gz", "a.manifest.json"]
    assert visible(tmp_path)["a.nii.gz"] == "voxels of 2"


def test_a_volume_that_is_gone_takes_its_files_along(
    output_folder: OutputFolder, tmp_path: Path
) -> None:
    put(output_folder, 1, ["a", "a_e2"], ["a", "a_e2"])
    put(output_folder, 2, ["a"], ["a", "a_e2"])
    assert sorted(visible(tmp_path)) == [
        "a.json",
        "a.manifest.json",
        "a.manifest.r1.json",
        "a.nii.gz",
        "a_e2.manifest.r1.json",
    ]


def test_a_table_that_is_gone_is_removed(output_folder: OutputFolder, tmp_path: Path) -> None:
    """What the volumes of spin labeling are may be known of one revision and not of the next."""
    folder = staged(output_folder, 1, ["sub-1_asl"])
    (folder / "sub-1_aslcontext.tsv").write_text("volume_type")
    names = [path.name for path in folder.iterdir()]
    output_folder.publish(folder, "study", names, 1, ["study/sub-1_asl"])
    assert "sub-1_aslcontext.tsv" in visible(tmp_path)
    put(output_folder, 2, ["sub-1_asl"], ["sub-1_asl"])
    assert "sub-1_aslcontext.tsv" not in visible(tmp_path)


def test_withdrawing_leaves_only_old_manifests(output_folder: OutputFolder, tmp_path: Path) -> None:
    put(output_folder, 1, ["a"], ["a"])
    output_folder.publish(output_folder.staging("none"), "study", [], 2, ["study/a"])
    assert sorted(visible(tmp_path)) == ["a.manifest.r1.json"]


@pytest.mark.parametrize("point", POINTS)
def test_wherever_it_is_cut_off_no_manifest_speaks_of_other_files(
    output_folder: OutputFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    both = ["a", "a_e2"]
    put(output_folder, 1, both, both)

    def cut(name: str) -> None:
        if name == point:
            raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(module, "fault_point", cut)
        with pytest.raises(Cut):
            put(output_folder, 2, both, both)
    for name, content in visible(tmp_path).items():
        if name.endswith(".manifest.json"):
            revision = json.loads(content)["revision"]
            beside = (tmp_path / "study" / name.replace(".manifest.json", ".nii.gz")).read_text()
            assert beside == f"voxels of {revision}"

    again = OutputFolder(tmp_path)
    again.prepare()
    put(again, 2, both, both)
    found = visible(tmp_path)
    assert sorted(found) == sorted(
        f"{stem}{end}"
        for stem in both
        for end in (".json", ".manifest.json", ".manifest.r1.json", ".nii.gz")
    )
    assert json.loads(found["a.manifest.r1.json"])["revision"] == 1
    assert json.loads(found["a.manifest.json"])["revision"] == 2
    assert found["a_e2.nii.gz"] == "voxels of 2"


def test_a_full_disk_is_for_later(
    output_folder: OutputFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_make_durable", full)
    with pytest.raises(PublishingDelayed, match="disk is full"):
        put(output_folder, 1, ["a"], ["a"])


def test_a_dead_process_staging_is_forgotten(output_folder: OutputFolder, tmp_path: Path) -> None:
    staged(output_folder, 1, ["a"])
    OutputFolder(tmp_path).prepare()
    assert list((tmp_path / ".staging").iterdir()) == []


def test_revisions_on_disk_are_counted_on(output_folder: OutputFolder) -> None:
    put(output_folder, 3, ["a"], ["a"])
    assert output_folder.revision_on_disk(["study/a", "study/b"], {"1.5"}) == 3
    assert output_folder.revision_on_disk(["study/a"], {"1.6"}) == 0
    assert output_folder.owner_on_disk("study/a") == "1.5"
    assert output_folder.owner_on_disk("study/b") == ""
