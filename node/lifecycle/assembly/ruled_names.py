"""Names of volumes by rules, which in BIDS datasets depend on the other volumes there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from node.completion.states import Event, follow
from node.convert.naming.bids import with_suffix
from node.convert.naming.reproin import session_of
from node.convert.naming.rules import Naming
from node.convert.naming.siblings import Place, Sibling, key, scope_of, settle
from node.core.conditions.values import KEYS
from node.core.output_names import is_bids, render_name
from node.core.output_rules import OutputRule
from node.core.records import SeriesRecord, SeriesState
from node.lifecycle.assembly.dataset_tables import DatasetTables
from node.lifecycle.assembly.jobs import Assembled, Product
from node.lifecycle.series_origins import SeriesOrigins
from node.storage.index.series.consequences import NO_CONSEQUENCES, Consequences, Follower
from node.storage.index.series.siblings import KeptSibling, Siblings
from node.storage.index.series.work import Work

_MADE: Final = (SeriesState.READY, SeriesState.NOT_A_VOLUME)


class RuledNames:
    """Knows the names that rules give, and which series a change of one of them concerns.

    Args:
        work: the series in the index.
        siblings: the volumes of datasets in the index.
        origins: what conditions are compared with, from the index.
        tables: the tables of datasets.
        rules: `output.rules`.
        template: `output.name`.
        dates: whether names may have dates.
    """

    def __init__(
        self,
        work: Work,
        siblings: Siblings,
        origins: SeriesOrigins,
        tables: DatasetTables,
        rules: Sequence[OutputRule],
        template: str,
        *,
        dates: bool,
    ) -> None:
        self._work = work
        self._siblings = siblings
        self._origins = origins
        self._tables = tables
        self._rules = tuple(rules)
        self._template = template
        self._dates = dates

    @property
    def used(self) -> bool:
        """Whether volumes are named one by one: there are rules, or the names are those of BIDS."""
        return bool(self._rules) or is_bids(self._template)

    def naming(self, series: SeriesRecord, digits: str) -> Naming:
        """What names the volumes of a series.

        Args:
            series: the series.
            digits: distinguish its names from those of other series, outside BIDS.
        """
        attributes = self._work.attributes(series.pk)
        verdict = str((series.verdict or {}).get("verdict", ""))
        values = self._origins.values(series, verdict)
        claimed = set(self._work.stems(series.pk))
        marked = self._marked(attributes, digits)
        naming = Naming(
            rules=self._rules,
            template=self._template,
            attributes=attributes,
            values={one: found for one in KEYS if (found := values.of(one))},
            series=series.address,
            session=self._session(series),
            marks={name: other for name, other in marked.items() if other in claimed},
        )
        others = self._siblings.of_scopes(naming.scopes())
        known = tuple(_sibling(one) for one in others if one.series_pk != series.pk)
        return replace(naming, siblings=known)

    def mark(self, series: SeriesRecord, digits: str) -> None:
        """Claim names that no other series has, for a series whose names outside BIDS are taken.

        Args:
            series: the series.
            digits: distinguish its names from those of other series.
        """
        for name in self._marked(self._work.attributes(series.pk), digits).values():
            self._work.claim_stem(series.pk, name)

    def agree(self, series: SeriesRecord, result: Assembled) -> bool:
        """Note what a series wants, and tell whether its products have the names that follow.

        Args:
            series: the series.
            result: of its assembly.

        Returns:
            False if another volume of the dataset has arrived or changed meanwhile.
        """
        products, wanted = result.products, result.siblings
        if not self.used:
            return True
        old = self._siblings.of_series(series.pk)
        if not products or not (wanted or old):
            return True
        kept = [
            KeptSibling(series.pk, one.number, one.scope, msgspec.to_builtins(one))
            for one in wanted
        ]
        if [(one.number, one.known) for one in old] != [(one.number, one.known) for one in kept]:
            self._siblings.replace(series.pk, kept)
        if any(one.session != self._session(series) for one in wanted):
            return False
        places = self._places({one.scope for one in wanted})
        return all(
            places[key(product.sibling)] == Place(product.stem, product.fields)
            for product in products
            if product.sibling is not None
        )

    def tabulate(self, products: Sequence[Product]) -> None:
        """Write what is published into the tables of the dataset.

        Args:
            products: the volumes of a series.

        Raises:
            Retryable: a table cannot be written now.
        """
        images: dict[str, dict[str, str]] = {}
        for product in products:
            name = _image(product.files)
            if product.sibling is not None and name:
                begun = _iso(product.sibling.started)
                images.setdefault(product.sibling.scope, {})[name] = begun
        added = {key(one.sibling): one.stem for one in products if one.sibling is not None}
        for scope, published in images.items():
            rows = self._siblings.of_scopes([scope])
            for one in rows:  # first: if the table is written twice, the name may be another then
                if not one.row and (stem := added.get(key(_sibling(one)))):
                    self._siblings.note_row(one.series_pk, one.number, stem)
            places = settle([_sibling(one) for one in rows])
            moved = {
                one: places[key(_sibling(one))].stem
                for one in rows
                if one.row and one.row != places[key(_sibling(one))].stem
            }
            inside = {one.row: new for one, new in moved.items() if scope_of(one.row) == scope}
            self._tables.changed(scope, published, _with_endings(inside))
            for one, new in moved.items():
                if one.row not in inside:
                    gone = [*_with_endings({one.row: new})]
                    self._tables.changed(scope_of(one.row), {}, {}, gone)
                self._siblings.note_row(one.series_pk, one.number, new)

    def of_publication(self, series: SeriesRecord, products: Sequence[Product]) -> Consequences:
        """What follows when volumes are visible: series whose names depend on them.

        Args:
            series: the series.
            products: its volumes.
        """
        made = {
            product.sibling.number: _made(Place(product.stem, product.fields))
            for product in products
            if product.sibling is not None
        }
        if not self.used or not made:
            return NO_CONSEQUENCES
        volumes = [
            replace(one, made=made[one.number], row=made[one.number]["stem"])
            if one.number in made
            else one
            for one in self._siblings.of_series(series.pk)
        ]
        stems = [product.stem for product in products]
        scopes = {one.scope for one in volumes if one.number in made}
        return Consequences(volumes, stems, self._renamed(series, scopes))

    def of_withdrawal(self, series: SeriesRecord) -> Consequences:
        """What follows when a series has no volume any more; its rows leave the tables.

        Args:
            series: the series.

        Raises:
            Retryable: a table cannot be written now.
        """
        old = self._siblings.of_series(series.pk) if self.used else []
        if not old:
            return NO_CONSEQUENCES
        for one in old:
            if one.row:
                self._tables.changed(scope_of(one.row), {}, {}, [*_with_endings({one.row: ""})])
        return Consequences((), (), self._renamed(series, {one.scope for one in old}, gone=True))

    def holders(self, series: SeriesRecord, products: Sequence[Product]) -> list[SeriesRecord]:
        """The other series that have a name of the products.

        Args:
            series: the series.
            products: its volumes.
        """
        rivals = {pk for one in products for pk in self._work.rivals(series.pk, one.stem)}
        return self._work.of(sorted(rivals))

    def has_other_names(self, series: SeriesRecord) -> bool:
        """Whether the visible files of a series have other names than they have to have."""
        rows = self._siblings.of_series(series.pk)
        places = self._places({one.scope for one in rows})
        return any(one.made and one.made["stem"] != places[key(_sibling(one))].stem for one in rows)

    def release(self, series: SeriesRecord) -> None:
        """Give up the names of a series whose files were removed.

        Args:
            series: the series.
        """
        self._work.release_stems(series.pk, ())

    def _marked(self, attributes: Mapping[str, Any], digits: str) -> dict[str, str]:
        """Return every name outside BIDS that the rules give, and the same with digits."""
        templates = [rule.name for rule in self._rules if rule.name] + [self._template]
        plain = {render_name(name, attributes) for name in templates if not is_bids(name)}
        return {name: with_suffix(name, f"_{digits}") for name in plain}

    def _session(self, series: SeriesRecord) -> str:
        if not any(rule.use for rule in self._rules):
            return ""
        return session_of(self._work.attributes_of_study(series.pk), dates=self._dates)

    def _places(self, scopes: Iterable[str]) -> dict[tuple[str, int], Place]:
        return settle([_sibling(one) for one in self._siblings.of_scopes(scopes)])

    def _renamed(
        self, series: SeriesRecord, scopes: set[str], *, gone: bool = False
    ) -> tuple[Follower, ...]:
        """The other series whose names or links are not right any more."""
        rows = [
            one
            for one in self._siblings.of_scopes(scopes)
            if not gone or one.series_pk != series.pk
        ]
        places = settle([_sibling(one) for one in rows])
        wrong = {
            one.series_pk
            for one in rows
            if one.made is not None and one.made != _made(places[key(_sibling(one))])
        }
        session = self._session(series)
        wrong |= {
            one.series_pk
            for one in self._siblings.of_study(series.pk)
            if one.made is not None and one.known.get("session", "") != session
        }
        detail = {
            "why": "its name or its field map follows from a series that has changed",
            "series": series.address,
        }
        return tuple(
            Follower(other, follow(other.state, Event.REFERENCE), detail)
            for other in self._work.of(sorted(wrong - {series.pk}))
            if other.state in _MADE
        )


def _sibling(kept: KeptSibling) -> Sibling:
    return msgspec.convert(kept.known, Sibling)


def _made(place: Place) -> dict[str, Any]:
    return {"stem": place.stem, "fields": dict(place.fields)}


def _with_endings(stems: Mapping[str, str]) -> dict[str, str]:
    """Return names of images, old to new, for every ending that an image may have."""
    return {old + end: new + end for old, new in stems.items() for end in (".nii.gz", ".nii")}


def _image(files: Sequence[str]) -> str:
    return next((name for name in files if name.endswith((".nii.gz", ".nii"))), "")


def _iso(started: int | None) -> str:
    """Return a moment (µs, as dicom_times counts) in ISO 8601; empty without a date."""
    if started is None:
        return ""
    day, rest = divmod(started, 86_400_000_000)
    if not day:
        return ""
    moment = datetime.fromordinal(day).replace(tzinfo=UTC) + timedelta(microseconds=rest)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
