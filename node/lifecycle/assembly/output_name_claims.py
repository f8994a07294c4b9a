"""Assigns output names to series, so that two series never share a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from node.convert.naming.bids import begin_dataset, with_suffix
from node.convert.naming.rules import Naming
from node.core.errors import Retryable
from node.core.output_names import is_bids, render_name
from node.core.records import SeriesRecord
from node.lifecycle.assembly.fingerprint import joined
from node.lifecycle.assembly.jobs import Product
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.ruled_names import RuledNames
from node.storage.index.series.work import Work


class OutputNameClaims:
    """Claims names for series; a claim outlives the revision that it was made for.

    Args:
        work: keeps the claims in the index.
        output_folder: has the files of earlier revisions.
        template: `output.name`.
        ruled: names that rules give.
    """

    def __init__(
        self, work: Work, output_folder: OutputFolder, template: str, ruled: RuledNames
    ) -> None:
        self._work = work
        self._output_folder = output_folder
        self._template = template
        self._ruled = ruled

    def prepare(self) -> None:
        """Add the files that a BIDS data set has at its root, if the template is of BIDS."""
        if is_bids(self._template):
            begin_dataset(self._output_folder.folder(""), self._template)

    def naming(self, series: SeriesRecord) -> Naming | None:
        """What names the volumes of a series one by one; None: `claim` names them together."""
        return self._ruled.naming(series, _digits(series)[:8]) if self._ruled.used else None

    def claim(self, series: SeriesRecord) -> tuple[str, str]:
        """Claim the folder and stem of a series; digits are appended to a name that is taken.

        Raises:
            Retryable: no name is free.
        """
        name = render_name(self._template, self._work.attributes(series.pk))
        marked = self._with_digits(series, name)
        first = [marked] if marked in self._work.stems(series.pk) else [name, marked]
        for candidate in (*first, f"{marked}{_digits(series)[8:]}"):
            if self._may_have(series, candidate):
                folder, _, stem = candidate.rpartition("/")
                return folder, stem
        raise Retryable(f"no output name is free for series {series.address}; check output.name")

    def claim_products(
        self, series: SeriesRecord, folder: str, products: Sequence[Product]
    ) -> bool:
        """Claim every volume's name.

        Args:
            series: the series.
            folder: where its files go, relative to the output folder.
            products: its volumes.

        Returns:
            False if another series has one of them: then the next `claim` gives another stem.
        """
        stems = [joined(folder, product.stem) for product in products]
        free = {stem for stem in stems if self._may_have(series, stem)}
        if len(free) == len(set(stems)):
            return True
        if self._ruled.used:
            for product, stem in zip(products, stems, strict=True):
                if product.sibling is None and stem not in free:
                    self._ruled.mark(series, _digits(series)[:8])
            return False
        name = render_name(self._template, self._work.attributes(series.pk))
        self._work.claim_stem(series.pk, self._with_digits(series, name))
        return False

    def _with_digits(self, series: SeriesRecord, name: str) -> str:
        return with_suffix(name, f"_{_digits(series)[:8]}")

    def _may_have(self, series: SeriesRecord, stem: str) -> bool:
        on_disk = self._output_folder.owner_on_disk(stem)
        mine = on_disk in {"", series.uid} or on_disk in {
            member.uid for member in self._work.members(series.pk)
        }
        return mine and self._work.claim_stem(series.pk, stem)


def _digits(series: SeriesRecord) -> str:
    return hashlib.sha256(series.address.encode()).hexdigest()[:32]
