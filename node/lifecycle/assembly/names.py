"""Which series has which output name, so that two never share a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from node.convert.naming.bids import begin_dataset, with_suffix
from node.core.errors import Retryable
from node.core.output_names import is_bids, render_name
from node.core.records import SeriesRecord
from node.deliver.publish import Publisher
from node.lifecycle.assembly.fingerprint import joined
from node.lifecycle.assembly.jobs import Product
from node.storage.index.series.work import Work


class Names:
    """Claims names for series; a claim outlives the revision that it was made for.

    Args:
        template: `output.name`.
    """

    def __init__(self, work: Work, publisher: Publisher, template: str) -> None:
        self._work = work
        self._publisher = publisher
        self._template = template

    def prepare(self) -> None:
        """Give the output folder what its form of names wants at its root."""
        if is_bids(self._template):
            begin_dataset(self._publisher.folder(""), self._template)

    def claim(self, series: SeriesRecord) -> tuple[str, str]:
        """The folder and stem of a series: the template's, or with a few digits appended."""
        name = render_name(self._template, self._work.attributes(series.pk))
        marked = self._marked(series, name)
        first = [marked] if marked in self._work.stems(series.pk) else [name, marked]
        for candidate in (*first, f"{marked}{_digits(series)[8:]}"):
            if self._may_have(series, candidate):
                folder, _, stem = candidate.rpartition("/")
                return folder, stem
        raise Retryable(f"no output name is free for series {series.address}")

    def claim_products(self, series: SeriesRecord, folder: str, made: Sequence[Product]) -> bool:
        """Claim every volume's name.

        Returns:
            False if another series has one of them: then the next `claim` gives another stem.
        """
        if all(self._may_have(series, joined(folder, product.stem)) for product in made):
            return True
        name = render_name(self._template, self._work.attributes(series.pk))
        self._work.claim_stem(series.pk, self._marked(series, name))
        return False

    def _marked(self, series: SeriesRecord, name: str) -> str:
        return with_suffix(name, f"_{_digits(series)[:8]}")

    def _may_have(self, series: SeriesRecord, stem: str) -> bool:
        on_disk = self._publisher.owner_on_disk(stem)
        return on_disk in {"", series.uid} and self._work.claim_stem(series.pk, stem)


def _digits(series: SeriesRecord) -> str:
    return hashlib.sha256(series.address.encode()).hexdigest()[:32]
