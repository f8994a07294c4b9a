"""Published files as the page lists them."""

from __future__ import annotations

from pathlib import Path

from node.web.files.output_files import OutputFolder

NAMES = ("a.nii.gz", "a.json", "a.quality.json", "a.png", "a.tsnr.png", "a.manifest.json")


def test_endings_tell_the_picture_of_the_ratio_from_the_preview(tmp_path: Path) -> None:
    files = OutputFolder(tmp_path, show_paths=True).files(NAMES)
    assert [one.ending for one in files] == [name[1:] for name in NAMES]
    assert {one.stem for one in files} == {"a"}
    pictures = [one.ending for one in files if one.media_type == "image/png"]
    assert pictures == [".png", ".tsnr.png"]
