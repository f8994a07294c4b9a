"""Whose a name is, if several series of a BIDS dataset have to have it one after the other."""

from __future__ import annotations

from node.core.errors import Retryable
from node.core.records import AT_REST, SeriesRecord, SeriesState
from node.lifecycle.assembly.jobs import Assembled
from node.lifecycle.assembly.outcomes import Outcomes
from node.lifecycle.assembly.output_name_claims import OutputNameClaims
from node.lifecycle.assembly.ruled_names import RuledNames
from node.storage.index.series.publications import Publications

_ASSEMBLED = (SeriesState.READY, SeriesState.NOT_A_VOLUME, SeriesState.FAILED)
"""States in which a series can be assembled again under another name."""


class NameDisputes:
    """Claims the names of results; series that have to have other names give theirs up.

    Args:
        publications: the revisions in the index.
        output_names: assigns output names.
        ruled: names that rules give.
        outcomes: removes the files of a series that gives its names up.
    """

    def __init__(
        self,
        publications: Publications,
        output_names: OutputNameClaims,
        ruled: RuledNames,
        outcomes: Outcomes,
    ) -> None:
        self._publications = publications
        self._output_names = output_names
        self._ruled = ruled
        self._outcomes = outcomes

    def may_have_names(
        self, series: SeriesRecord, folder: str, result: Assembled, now: float
    ) -> bool:
        """Claim the names of a result.

        Args:
            series: the series, in assembly.
            folder: where its files go, relative to the output folder.
            result: of its assembly.
            now: seconds since 1970.

        Returns:
            False if it has to be assembled again under other names.

        Raises:
            Retryable: another series has a name and is in progress itself.
        """
        products = result.products
        if not self._ruled.agree(series, result):
            return False
        if self._output_names.claim_products(series, folder, products):
            return True
        if not any(product.sibling for product in products):
            return False
        blocking = self._ruled.holders(series, products)
        for other in blocking:
            visible = self._publications.visible(other.pk)
            if other.state in AT_REST and (visible is None or not visible.files):
                self._ruled.release(other)
            elif other.state in _ASSEMBLED:
                self._outcomes.step_aside(other, now)
        if self._output_names.claim_products(series, folder, products):
            return True
        if self._ruled.has_other_names(series) and self._outcomes.step_aside(series, now):
            return False
        names = ", ".join(other.address for other in blocking) or "an unknown series"
        raise Retryable(f"its name is still that of {names}, which has to have another")
