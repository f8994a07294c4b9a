"""The files of a revision in the output folder: how their names end, and their permissions."""

from __future__ import annotations

from typing import Final

MANIFEST: Final = ".manifest.json"
EXTENSIONS: Final = (
    ".nii.gz", ".nii", ".json", ".bval", ".bvec", "context.tsv", ".png", ".quality.json",
    ".tsnr.png",
    MANIFEST,
)  # fmt: skip
FOLDER_MODE: Final = 0o750
FILE_MODE: Final = 0o640
