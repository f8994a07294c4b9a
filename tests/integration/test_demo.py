"""`rasnode demo` as a newcomer sees it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", "demo", "--folder", str(folder), *options],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_two_studies_become_two_volumes_that_are_what_was_scanned(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    volumes = [Path(found) for found in re.findall(r"volume +(\S+)", done.stdout)]
    pictures = [Path(found) for found in re.findall(r"picture +(\S+)", done.stdout)]
    assert [nibabel.load(path).shape for path in volumes] == [(128, 128, 60), (64, 64, 20, 6)]
    affines = re.findall(r"affine +([-\d. \n]+?)\n  checked", done.stdout)
    for path, affine in zip(volumes, affines, strict=True):
        said = np.array(affine.split(), float).reshape(3, 4)
        assert np.allclose(said, nibabel.load(path).affine[:3], atol=1e-3)
        assert path.with_name(path.name.replace(".nii.gz", ".manifest.json")).is_file()
    for picture in pictures:
        assert np.asarray(Image.open(picture)).std() > 10
    assert done.stdout.count("has the phantom's value") == 2


def test_a_node_that_does_not_start_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the node wants a folder")
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "the node has ended" in line
    assert str(tmp_path / "node.log") in line


def test_no_volume_in_time_is_one_sentence(tmp_path: Path) -> None:
    done = demo(tmp_path, "--seconds", "0")
    assert done.returncode == 1
    assert "no volume after 0 s" in done.stderr
    assert "Traceback" not in done.stderr
