"""A manifest that is there after a power cut speaks of the files beside it, and what was said to be
ready is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from node.core.settings.deliver import FolderSettings
from node.deliver.published_files import MANIFEST
from node.deliver.targets.folder import Folder
from node.lifecycle.assembly.output_folder import OutputFolder
from tests.recording_disk import PowerCut, Recorder, power_cuts
from tests.unit.deliver.test_targets import delivery

STEMS = ("a", "a_e2")


def publish(output_folder: OutputFolder, revision: int) -> list[str]:
    """Two volumes of a series whose pixels say which revision they are of."""
    staging = output_folder.staging(f"job{revision}")
    for stem in STEMS:
        (staging / f"{stem}.nii.gz").write_text(f"voxels of {revision}")
        (staging / f"{stem}.json").write_text(f"sidecar of {revision}")
        (staging / f"{stem}{MANIFEST}").write_text(json.dumps({"revision": revision}))
    names = [path.name for path in staging.iterdir()]
    output_folder.publish(staging, "study/day", names, revision, [f"study/day/{s}" for s in STEMS])
    return [f"study/day/{name}" for name in names]


def manifests(output: Path) -> dict[str, int]:
    """The revision that each manifest speaks of, whose files have to be there."""
    found = {}
    for path in output.rglob(f"*{MANIFEST}"):
        if ".staging" in path.parts:
            continue
        revision = json.loads(path.read_text())["revision"]
        stem = path.name.removesuffix(MANIFEST)
        assert path.with_name(f"{stem}.nii.gz").read_text() == f"voxels of {revision}"
        assert path.with_name(f"{stem}.json").read_text() == f"sidecar of {revision}"
        found[stem] = revision
    return found


def check(cut: PowerCut, folder: Path, output: str) -> None:
    cut.write(folder)
    try:
        found = manifests(folder / output)
    except (AssertionError, OSError, ValueError) as error:
        pytest.fail(f"after {cut.after}, with {cut.survived}: {error}")
    finally:
        shutil.rmtree(folder)
    match cut.said[-1:]:
        case ("ready 1",):
            assert found == dict.fromkeys(STEMS, 1), f"after {cut.after}, with {cut.survived}"
        case ("ready 2",):
            assert found == dict.fromkeys(STEMS, 2), f"after {cut.after}, with {cut.survived}"
        case ("withdrawn",):
            assert found == {}, f"after {cut.after}, with {cut.survived}"


def test_a_revision_is_whole_after_every_power_cut(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (memory / "disk").mkdir()
    disk = Recorder(memory / "disk", monkeypatch)
    output_folder = OutputFolder(memory / "disk" / "var" / "nifti")
    output_folder.prepare()
    publish(output_folder, 1)
    disk.said("ready 1")
    disk.said("another one comes")
    publish(output_folder, 2)
    disk.said("ready 2")
    disk.said("it goes")
    output_folder.withdraw(3, [f"study/day/{stem}" for stem in STEMS])
    disk.said("withdrawn")
    disk.stop()
    for cut in power_cuts(disk.operations):
        check(cut, memory / "cut", "var/nifti")


def test_what_a_process_left_that_was_killed_is_synced_by_the_next(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = memory / "disk" / "nifti"
    output.mkdir(parents=True)
    disk = Recorder(memory / "disk", monkeypatch)
    (output / "study" / "day").mkdir(parents=True)  # and was killed
    output_folder = OutputFolder(output)
    output_folder.prepare()
    publish(output_folder, 1)
    disk.said("ready 1")
    disk.stop()
    for cut in power_cuts(disk.operations):
        check(cut, memory / "cut", "nifti")


def test_what_was_delivered_to_a_folder_is_whole_after_every_power_cut(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_folder = OutputFolder(memory / "output")
    output_folder.prepare()
    target = memory / "disk" / "share"
    target.mkdir(parents=True)
    disk = Recorder(memory / "disk", monkeypatch)
    folder = Folder(FolderSettings(path=target), lambda _series: (revision, {}))
    replaced: list[str] = []
    for revision in (1, 2):
        files = publish(output_folder, revision)
        disk.said("one comes")
        folder.deliver(
            delivery(root=str(memory / "output"), files=files, revision=revision, replaced=replaced)
        )
        disk.said(f"ready {revision}")
        replaced = files
    disk.stop()
    for cut in power_cuts(disk.operations):
        check(cut, memory / "cut", "share")
