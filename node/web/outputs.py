"""A series' published files, as the page and the API speak of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from node.core.query_keys import BY_KEYWORD, Level

MANIFEST = ".manifest.json"
PICTURE = ".png"
_VOLUMES = (".nii.gz", ".nii")
_ENDINGS = (*_VOLUMES, MANIFEST, ".json", ".bval", ".bvec", PICTURE)
_MEDIA_TYPES = {PICTURE: "image/png", ".json": "application/json", MANIFEST: "application/json"}
_TELLING = {"AccessionNumber", "StudyID", "ReferringPhysicianName", "PatientAge", "PatientSize"}
"""Attributes below the patient level that still tell who somebody is."""


def names_identify(template: str) -> bool:
    """Whether files named by `output.name` say who the patient is."""
    keywords = {keyword for _, keyword, _, _ in Formatter().parse(template) if keyword}
    return any(
        keyword in _TELLING
        or keyword not in BY_KEYWORD
        or BY_KEYWORD[keyword].level is Level.PATIENT
        for keyword in keywords
    )


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One published file.

    Attributes:
        number: its place in the series' list, by which URLs speak of it.
        ending: such as `.nii.gz`.
    """

    number: int
    path: Path
    ending: str

    @property
    def is_volume(self) -> bool:
        """Whether the viewer might show it."""
        return self.ending in _VOLUMES

    @property
    def manifest(self) -> Path:
        """The manifest of the same volume."""
        return self.path.with_name(self.path.name.removesuffix(self.ending) + MANIFEST)

    @property
    def media_type(self) -> str:
        """For the Content-Type header."""
        return _MEDIA_TYPES.get(self.ending, "application/octet-stream")


class OutputFolder:
    """The folder that volumes are published in.

    Args:
        root: `nifti` below the storage root.
        show_paths: whether paths may be shown: not if they tell who the patient is.
    """

    def __init__(self, root: Path, *, show_paths: bool) -> None:
        self._root = root.absolute()
        self._show_paths = show_paths

    def files(self, outputs: Sequence[str] | None) -> list[OutputFile]:
        """What the index says was published for a series, as far as it lies in the folder."""
        return list(self._files(outputs or ()))

    def shown_path(self, file: OutputFile) -> str | None:
        """Where the file is, for people; None if that would tell too much."""
        return str(file.path) if self._show_paths else None

    def _files(self, outputs: Sequence[str]) -> Iterator[OutputFile]:
        for number, name in enumerate(outputs):
            path = self._root / name
            if ".." in path.parts or not path.is_relative_to(self._root):
                continue
            ending = next((end for end in _ENDINGS if name.endswith(end)), path.suffix)
            yield OutputFile(number, path, ending)
