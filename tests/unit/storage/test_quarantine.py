"""The quarantine: what it keeps, once and for whom, and who has to give way to whom."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from node.core.errors import StorageFull
from node.dicom.file_meta import file_meta
from node.storage.quarantine import Kind, Left, Quarantine, quarantine

META = file_meta("1.2", "1.3", "1.2.840.10008.1.2.1")
WHY = {"reason": "malformed-data-set", "status": "0xC000"}
STRANGER, PACS, NETWORK = "10.0.0.9", "10.0.0.1", "fd00::/64"
EACH = 8192  # bytes that a small file and its note take
DAY = 86400.0


@pytest.fixture
def now() -> list[float]:
    return [1e9]


@pytest.fixture
def kept(tmp_path: Path, now: list[float]) -> Quarantine:
    return Quarantine(tmp_path, per_peer=4 * EACH, days=30, clock=lambda: now[0])


def left(kept: Quarantine) -> dict[tuple[str, Kind], int]:
    return {(one.sender, one.kind): one.files for one in kept.left()}


def test_bytes_and_reason_are_kept(kept: Quarantine, tmp_path: Path) -> None:
    name = kept.refused(NETWORK, META, b"junk", WHY)
    assert name is not None
    assert (tmp_path / name).read_bytes() == META + b"junk"
    note = json.loads((tmp_path / name).with_suffix(".json").read_bytes())
    assert note == {**WHY, "sender": NETWORK, "file": name}
    assert kept.left() == [Left(NETWORK, Kind.REFUSED, 1, EACH)]


def test_the_same_bytes_of_a_sender_are_kept_once(kept: Quarantine, tmp_path: Path) -> None:
    first = kept.refused(PACS, META, b"junk", WHY)
    assert [kept.refused(PACS, META, b"junk", WHY) for _ in range(5)] == [first] * 5
    assert left(kept) == {(PACS, Kind.REFUSED): 1}
    # Another's, and what was answered, must not depend on a file that may go.
    kept.refused(STRANGER, META, b"junk", WHY)
    kept.answered(PACS, META, b"junk", WHY)
    assert len(list(tmp_path.glob("*.dcm"))) == 3


def test_the_same_bytes_are_kept_again_where_the_file_is_not_what_it_was(
    kept: Quarantine, tmp_path: Path, now: list[float]
) -> None:
    first = kept.answered(PACS, META, b"junk", WHY)
    (tmp_path / first).write_bytes(META + b"junl")
    now[0] += 1
    second = kept.answered(PACS, META, b"junk", WHY)
    assert (tmp_path / second).read_bytes() == META + b"junk"


def test_a_flood_pushes_out_the_oldest_of_its_sender_and_nobody_elses(
    kept: Quarantine, tmp_path: Path, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    kept.refused(PACS, META, b"from the PACS", WHY)
    kept.answered(STRANGER, META, b"answered", WHY)
    names = []
    for number in range(20):
        now[0] += 1
        names.append(kept.refused(STRANGER, META, b"%d" % number, WHY))
    expected = {(STRANGER, Kind.REFUSED): 4, (STRANGER, Kind.ANSWERED): 1, (PACS, Kind.REFUSED): 1}
    assert left(kept) == expected
    assert {path.name for path in tmp_path.glob("*-refused-10.0.0.9-*.dcm")} == set(names[-4:])
    assert len(list(tmp_path.glob("*.json"))) == len(list(tmp_path.glob("*.dcm"))) == 6
    assert "10.0.0.9 sent more refused instances than storage.quarantine.per_peer" in caplog.text
    assert kept.refused(STRANGER, META, bytes(4 * EACH), WHY) is None
    assert left(kept) == expected


def test_many_senders_together_do_not_fill_the_disk(kept: Quarantine, now: list[float]) -> None:
    kept.refused(PACS, META, b"from the PACS", WHY)
    for number in range(120):
        now[0] += 1
        kept.refused(f"10.1.0.{number // 4}", META, b"%d" % number, WHY)
    assert sum(one.size for one in kept.left()) <= 10 * 4 * EACH
    assert left(kept)[PACS, Kind.REFUSED] == 1


def test_what_was_answered_stays_however_much_it_is(kept: Quarantine, now: list[float]) -> None:
    for number in range(9):
        assert kept.full() == (frozenset({PACS}) if number > 4 else frozenset())
        kept.answered(PACS, META, b"%d" % number, {**WHY, "status": "0x0000"})
    kept.refused(PACS, META, b"refused", WHY)
    now[0] += 400 * DAY
    assert kept.prune() == 1
    assert left(kept) == {(PACS, Kind.ANSWERED): 9}


def test_another_process_sees_what_is_there(
    kept: Quarantine, tmp_path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_LOOK_SECONDS", 0.0)
    other = Quarantine(tmp_path, per_peer=4 * EACH, days=30, clock=lambda: now[0])
    for number in range(3):
        now[0] += 1
        kept.refused(NETWORK, META, b"%d" % number, WHY)
        other.refused(NETWORK, META, b"other %d" % number, WHY)
    assert other.left() == kept.left() == [Left(NETWORK, Kind.REFUSED, 4, 4 * EACH)]


def test_files_of_an_earlier_version_are_told_by_their_notes(
    kept: Quarantine, tmp_path: Path, now: list[float]
) -> None:
    for name, status in (("a", "0xC000"), ("b", "0x0000"), ("c", None)):
        path = tmp_path / f"20200101T000000-{name}.dcm"
        path.write_bytes(META)
        os.utime(path, (now[0] - 31 * DAY,) * 2)
        if status is not None:
            path.with_suffix(".json").write_text(json.dumps({"status": status}))
    assert left(kept) == {("earlier", Kind.REFUSED): 1, ("earlier", Kind.ANSWERED): 2}
    assert kept.prune() == 1
    assert not (tmp_path / "20200101T000000-a.json").exists()
    assert left(kept) == {("earlier", Kind.ANSWERED): 2}


def test_a_disk_that_takes_nothing_loses_nothing_that_was_answered(
    kept: Quarantine, tmp_path: Path
) -> None:
    tmp_path.rmdir()
    assert kept.refused(PACS, META, b"junk", WHY) is None
    with pytest.raises(StorageFull, match="quarantine"):
        kept.answered(PACS, META, b"junk", WHY)
    tmp_path.mkdir()
    assert kept.answered(PACS, META, b"junk", WHY)
    assert left(kept) == {(PACS, Kind.ANSWERED): 1}
