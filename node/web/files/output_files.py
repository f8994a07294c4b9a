"""The published files of a series, as the page and the API list them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from node.core.query_keys import BY_KEYWORD, Level

MANIFEST = ".manifest.json"
PICTURE = ".png"
TSNR = ".tsnr.png"
QUALITY = ".quality.json"
_VOLUMES = (".nii.gz", ".nii")
_ENDINGS = (*_VOLUMES, MANIFEST, QUALITY, ".json", ".bval", ".bvec", TSNR, PICTURE)
_MEDIA_TYPES = {PICTURE: "image/png", TSNR: "image/png"} | dict.fromkeys(
    (QUALITY, ".json", MANIFEST), "application/json"
)
_IDENTIFYING = {"AccessionNumber", "StudyID", "ReferringPhysicianName", "PatientAge", "PatientSize"}
"""Attributes below the patient level that identify the patient all the same."""


def names_identify(template: str) -> bool:
    """Whether file names made from `output.name` identify the patient."""
    keywords = {keyword for _, keyword, _, _ in Formatter().parse(template) if keyword}
    return any(
        keyword in _IDENTIFYING
        or keyword not in BY_KEYWORD
        or BY_KEYWORD[keyword].level is Level.PATIENT
        for keyword in keywords
    )


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One published file.

    Attributes:
        number: its place in the list of the series; URLs name it by this.
        path: where it is.
        ending: such as `.nii.gz`.
    """

    number: int
    path: Path
    ending: str

    @property
    def is_volume(self) -> bool:
        """Whether it is a NIfTI file."""
        return self.ending in _VOLUMES

    @property
    def manifest(self) -> Path:
        """The manifest of the same volume."""
        return self.path.with_name(self.path.name.removesuffix(self.ending) + MANIFEST)

    @property
    def stem(self) -> str:
        """Its name without the ending: the files of one volume have the same."""
        return self.path.name.removesuffix(self.ending)

    @property
    def media_type(self) -> str:
        """For the Content-Type header."""
        return _MEDIA_TYPES.get(self.ending, "application/octet-stream")


class OutputFolder:
    """The folder that volumes are published in.

    Args:
        root: `nifti` below the storage root.
        show_paths: whether paths may be shown: not if they identify the patient.
    """

    def __init__(self, root: Path, *, show_paths: bool) -> None:
        self._root = root.absolute()
        self._show_paths = show_paths

    def files(self, outputs: Sequence[str] | None) -> list[OutputFile]:
        """The published files of a series.

        Args:
            outputs: their names in the index; names outside the folder are left out.
        """
        return list(self._files(outputs or ()))

    @property
    def shows_names(self) -> bool:
        """Whether file names identify nobody."""
        return self._show_paths

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self._root

    def shown_path(self, file: OutputFile) -> str | None:
        """The path of the file for people; None if it identifies the patient."""
        return str(file.path) if self._show_paths else None

    def _files(self, outputs: Sequence[str]) -> Iterator[OutputFile]:
        for number, name in enumerate(outputs):
            path = self._root / name
            if ".." in path.parts or not path.is_relative_to(self._root):
                continue
            ending = next((end for end in _ENDINGS if name.endswith(end)), path.suffix)
            yield OutputFile(number, path, ending)
