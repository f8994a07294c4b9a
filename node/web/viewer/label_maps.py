"""Which label maps lie on the grid of a volume, and which volume a label map belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastapi import HTTPException

from node.core.records import SeriesState, address_of
from node.storage.index.engine import Index
from node.storage.index.search.latest import Latest
from node.storage.index.search.listing import Listing
from node.storage.index.search.selection import Selection
from node.web.files.output_files import OutputFile, OutputFolder
from node.web.viewer.manifests import Label, Proof, read_proof

_MODALITIES: Final = frozenset({"SEG", "RTSTRUCT", "SR", "PR", "ANN"})
"""Of series that may become label maps."""
_MOST: Final = 64  # label maps of one volume
Row = Mapping[str, Any]


class LabelMap(NamedTuple):
    """A volume of a series, as the viewer names it.

    Attributes:
        series: the address of the series.
        name: of the series, for people.
        volume: its URL.
        labels: of a label map.
    """

    series: str
    name: str
    volume: str
    labels: tuple[Label, ...]


class LabelMaps:
    """Finds label maps by the manifests in the output folder.

    Args:
        index: lists the series of a study.
        outputs: the folder of published files.
        check: raises unless a published file of a series is undamaged.
    """

    def __init__(
        self, index: Index, outputs: OutputFolder, check: Callable[[int, Path], None]
    ) -> None:
        self._latest = Latest(index)
        self._listing = Listing(index)
        self._outputs = outputs
        self._check = check

    def proof(self, row: Row, volume: OutputFile) -> Proof | None:
        """What the manifest of a volume says; None if it cannot be read.

        Args:
            row: of the series, as `index.latest` has it.
            volume: of the series.

        Raises:
            HTTPException: the manifest is damaged.
            Retryable: the index or the output folder cannot be read at present.
        """
        self._check(row["id"], volume.manifest)
        try:
            return read_proof(volume.manifest)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def over(self, row: Row, volume: OutputFile) -> list[LabelMap]:
        """The label maps on the grid of a volume.

        Args:
            row: of the series of the volume.
            volume: the volume.
        """
        own = self.proof(row, volume)
        if own is None or own.reference:
            return []
        return [
            _named(other, file, proof.labels)
            for other in self._rows(row["study_instance_uid"])
            for file, proof in self._volumes(other)
            if proof.reference == row["series_instance_uid"] and proof.labels
            if proof.on_grid_of(own)
        ][:_MOST]

    def under(self, row: Row, own: Proof) -> str | None:
        """The URL of the volume that a label map belongs to; None if it is not here.

        Args:
            row: of the series of the label map.
            own: from the manifest of the label map.
        """
        labelled = self._latest.one(own.reference) if own.reference else None
        if labelled is None or labelled["study_instance_uid"] != row["study_instance_uid"]:
            return None
        for file, proof in self._volumes(labelled):
            if proof.on_grid_of(own):
                return _named(labelled, file).volume
        return None

    def _rows(self, study: str) -> Iterator[Row]:
        for one in self._listing.series(Selection(states=(SeriesState.READY,), study=study)):
            if one["modality"] in _MODALITIES:
                row = self._latest.one(one["series_instance_uid"])
                if row is not None and row["study_instance_uid"] == study:
                    yield row

    def _volumes(self, row: Row) -> Iterator[tuple[OutputFile, Proof]]:
        for file in self._outputs.files(row["outputs"]):
            if file.is_volume:
                try:
                    proof = self.proof(row, file)
                except HTTPException:  # a damaged label map hides only itself
                    continue
                if proof is not None:
                    yield file, proof


def _named(row: Row, file: OutputFile, labels: tuple[Label, ...] = ()) -> LabelMap:
    address = address_of(row["series_instance_uid"], row["part"])
    parts = [str(part) for part in (row["number"], row["description"]) if part not in (None, "")]
    return LabelMap(
        series=address,
        name=" · ".join(parts) or row["modality"],
        volume=f"/api/series/{address}/volumes/{file.number}?revision={row['revision']}",
        labels=labels,
    )
