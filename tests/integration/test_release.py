"""A release is a release, also when the peer hangs up before our answer was noted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node.index.engine import Index
from node.index.work import Work
from node.records import AssociationEnd
from tests.running import RunningNode, eventually
from tests.small import small_ct

ASSOCIATIONS = 40


def test_every_released_association_is_known_as_released(node: RunningNode, tmp_path: Path) -> None:
    paths = small_ct(tmp_path / "ct", ASSOCIATIONS, announced=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(node.send, paths))
    work = Work(Index(f"sqlite:///{node.root / 'index.db'}"))

    def ends() -> list[AssociationEnd]:
        found = [arrival.end for series in work.in_state() for arrival in work.arrivals(series.pk)]
        return [] if AssociationEnd.OPEN in found or len(found) < ASSOCIATIONS else found

    found = eventually(ends, 10, "every association has ended")
    assert set(found) == {AssociationEnd.RELEASED}
