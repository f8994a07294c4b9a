"""Names and links that depend on the other volumes of a BIDS dataset: runs, field maps. Pure.

They follow from all volumes together, never from the order in which their series arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from node.convert.naming.bids import entities_of, with_entity
from node.convert.naming.field_maps import Scan, links
from node.core.output_names import folded

_LATEST: Final = float("inf")


class Sibling(msgspec.Struct, frozen=True):
    """One volume of a dataset, as far as other volumes depend on it.

    Attributes:
        series: address of its series.
        number: of the volume in its series.
        wanted: its name, with folders, before it is told from others of that name.
        scope: folders of the participant and session.
        started: when its acquisition began, µs; None if not known.
        counted: it has a run even if it is the only one.
        repeats: `runs`, or `last`: only the last of several is meant, earlier ones were cancelled.
        session: label of the session that the names of the study give.
        scan: what links field maps to images.
    """

    series: str
    number: int
    wanted: str
    scope: str
    started: int | None = None
    counted: bool = False
    repeats: str = "runs"
    session: str = ""
    scan: Scan = Scan()


class Place(NamedTuple):
    """Where a volume goes.

    Attributes:
        stem: its name, with folders.
        fields: of its sidecar, from other volumes.
    """

    stem: str
    fields: Mapping[str, object]


Key = tuple[str, int]
"""Address of a series, and number of the volume in it."""


def settle(siblings: Sequence[Sibling]) -> dict[Key, Place]:
    """Return name and links of every volume of a dataset.

    Args:
        siblings: all volumes of a participant's session, in any order.
    """
    stems = _stems(siblings)
    scans = {key(one): (stems[key(one)], one.started, one.scan) for one in siblings}
    linked = links(scans)
    return {each: Place(stem, linked.get(each, {})) for each, stem in stems.items()}


def key(sibling: Sibling) -> Key:
    """Return the key of a volume."""
    return sibling.series, sibling.number


def scope_of(stem: str) -> str:
    """Return the folders of a BIDS name down to those of participant and session.

    Examples:
        >>> scope_of("data/sub-01/ses-2/anat/sub-01_ses-2_T1w"), scope_of("sub-01_T1w")
        ('data/sub-01/ses-2', '')
    """
    folders = stem.split("/")[:-1]
    own = [place for place, one in enumerate(folders) if one.startswith(("sub-", "ses-"))]
    return "/".join(folders[: own[-1] + 1]) if own else ""


def dataset_root(name: str) -> str:
    """Return the folders above the participant's, in a name or scope; empty if there are none.

    Examples:
        >>> dataset_root("data/sub-01/ses-2"), dataset_root("sub-01/anat/sub-01_T1w")
        ('data', '')
    """
    folders = name.split("/")
    places = [place for place, one in enumerate(folders) if one.startswith("sub-")]
    return "/".join(folders[: places[0]]) if places else ""


def _stems(siblings: Sequence[Sibling]) -> dict[Key, str]:
    groups: dict[str, list[Sibling]] = {}
    for one in sorted(siblings, key=_order):
        groups.setdefault(folded(one.wanted), []).append(one)
    alone = [group[0] for group in groups.values() if len(group) == 1 and not group[0].counted]
    stems = {key(one): one.wanted for one in alone}
    taken = {folded(stem) for stem in stems.values()}
    for name in sorted(groups):
        group = groups[name]
        if key(group[0]) in stems:
            continue
        last = group[0].repeats == "last" and not group[0].counted
        found = _cancelled(group) if last else _runs(group, taken)
        taken |= {folded(stem) for stem in found.values()}
        stems |= found
    return stems


def _order(one: Sibling) -> tuple[float, str, int]:
    return (_LATEST if one.started is None else float(one.started), one.series, one.number)


def _runs(group: Sequence[Sibling], taken: set[str]) -> dict[Key, str]:
    """Number repeated scans in the order of time; numbers that names state are left out."""
    stated = entities_of(group[0].wanted).get("run", "")
    number = int(stated) if stated.isdecimal() else 1
    found: dict[Key, str] = {}
    for one in group:
        while folded(stem := with_entity(one.wanted, "run", f"{number:02d}")) in taken:
            number += 1
        found[key(one)] = stem
        number += 1
    return found


def _cancelled(group: Sequence[Sibling]) -> dict[Key, str]:
    """Mark all but the last of repeated scans, as ReproIn does."""
    *earlier, last = group
    marked = {key(one): f"{one.wanted}__dup-{n:02d}" for n, one in enumerate(earlier, 1)}
    return {**marked, key(last): last.wanted}
