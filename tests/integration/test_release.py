"""A release is a release, also when the peer hangs up before our answer was noted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from node.core.records import AssociationEnd
from node.storage.index.engine import Index
from node.storage.index.series.work import Work
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


def test_what_was_cut_off_at_its_end_and_sent_again_is_not_waited_for(
    node: RunningNode, tmp_path: Path
) -> None:
    paths = small_ct(tmp_path / "ct", 4, announced=False)
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    cut = ae.associate("127.0.0.1", node.port)
    for path in paths:
        assert cut.send_c_store(dcmread(path)).Status == 0x0000
    cut.abort()
    node.send(*paths)
    found = node.settle(30, states=["ready"])  # completion.open_quiet_seconds are 60
    assert [one["instances"] for one in found] == [4]
