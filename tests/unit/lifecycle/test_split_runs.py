"""Runs whose volumes are series of their own become one volume, whatever arrives when."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.assemble.frames.model import encode_header
from node.completion.decision import Timing
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.folder import read_file
from node.core.events import NewDelivery, SeriesEvent
from node.core.records import AssociationEnd, InstanceRecord, SeriesState
from node.lifecycle.assembly.task import assemble
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.operator_actions import OperatorActions
from node.storage.index.series.expiry import Expiry
from tests.databases import migrated_postgresql
from tests.phantom import ROOT, Phantom, save
from tests.simulator.bench import Bench

VOLUMES, SLICES = 4, 8
STEM = f"{ROOT}.4/0007_MR_bold"


def run(volumes: int = VOLUMES, number: int = 7, root: str = f"{ROOT}.9") -> list[list[Dataset]]:
    """The volumes of a run as XA made some: a Series Instance UID each; UIDs fall with time."""
    made: list[list[Dataset]] = [[] for _ in range(volumes)]
    for one in Phantom(volumes=volumes, size=(6, 5, SLICES)).instances():
        t = one.TemporalPositionIdentifier - 1
        one.SeriesInstanceUID = f"{root}.{volumes - t}"
        one.SOPInstanceUID = f"{root}.{volumes - t}.{one.InstanceNumber}"
        one.StudyInstanceUID, one.SeriesNumber = f"{ROOT}.4", number
        one.Manufacturer, one.SoftwareVersions = "Siemens Healthineers", "syngo MR XA30"
        one.AcquisitionDate, one.AcquisitionTime = "20240101", f"1000{2 * t:02d}"
        one.InstanceNumber = (one.InstanceNumber - 1) % SLICES + 1
        del one.TemporalPositionIdentifier
        made[t].append(one)
    return made


class World:
    """A node that receives files, and assembles them as it does."""

    def __init__(self, folder: Path, **kwargs: Any) -> None:
        self.archive = folder / "archive"
        folder.mkdir(exist_ok=True, parents=True)
        self.events: list[SeriesEvent] = []
        self.bench = Bench(
            folder,
            task=lambda job: assemble(replace(job, archive=self.archive)),
            template="{StudyInstanceUID}/{SeriesNumber:04d}_{Modality}_{SeriesDescription}",
            rules=self._note,
            **kwargs,
        )

    def _note(self, event: SeriesEvent) -> list[NewDelivery]:
        self.events.append(event)
        return []

    def receive(
        self, datasets: Sequence[Dataset], association: int | None = None, **more: str
    ) -> None:
        own = self.bench.open() if association is None else association
        for one in datasets:
            folder = self.archive / f"{one.SOPInstanceUID}"
            save([one], folder)
            (path,) = folder.iterdir()
            self.bench.store.add([(self._record(path, more), own)])
        if association is None:
            self.bench.end(own)

    def _record(self, path: Path, more: dict[str, str]) -> InstanceRecord:
        source = read_file(path)
        assert source is not None
        header = source.header
        values = {
            "PatientID": "P",
            "Modality": "MR",
            "SeriesNumber": str(header.series_number),
            "SeriesDescription": "bold",
            "StudyInstanceUID": header.study_instance_uid,
            **more,
        }
        return InstanceRecord(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            series_instance_uid=header.series_instance_uid,
            study_instance_uid=header.study_instance_uid,
            transfer_syntax_uid=source.transfer_syntax_uid,
            path=str(path.relative_to(self.archive)),
            size=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()[source.offset :]).hexdigest(),
            data_set_offset=source.offset,
            pixel_offset=source.pixel_offset,
            pixel_length=source.pixel_length,
            attributes=values,
            header=encode_header(header),
            received_at=self.bench.now,
        )

    def states(self) -> dict[str, str]:
        return {one.uid: str(one.state) for one in self.bench.work.in_state()}

    def stands(self) -> Any:
        (one,) = self.bench.work.in_state(SeriesState.READY)
        return one

    def images(self) -> list[str]:
        return [name for name in self.bench.files() if name.endswith(".nii.gz")]

    def kinds(self) -> list[str]:
        return [str(event.event_type) for event in self.events]


def converted(datasets: Sequence[Sequence[Dataset]], folder: Path) -> tuple[bytes, bytes]:
    """Image and sidecar that `rasnode convert` makes."""
    save([one for volume in datasets for one in volume], folder / "in")
    (series,) = read_folder([folder / "in"])[0]
    made = convert_series(series.instances, folder / "out", "v", OutputOptions())
    assert not made.refusals
    return (folder / "out/v.nii.gz").read_bytes(), (folder / "out/v.json").read_bytes()


def published(world: World) -> tuple[bytes, bytes]:
    """Image and sidecar that the node made; it has the name of the volume that came first."""
    (image,) = (world.bench.output / name for name in world.images())
    return image.read_bytes(), Path(str(image).replace(".nii.gz", ".json")).read_bytes()


@pytest.mark.parametrize("seed", range(12))
def test_a_run_is_one_volume_in_any_order_over_restarts(seed: int, tmp_path: Path) -> None:
    """Instances of all volumes in any order, in associations of any number, with a node that is
    killed now and then: what is published in the end is what `rasnode convert` makes."""
    chance = random.Random(seed)
    volumes = run()
    wanted = converted(volumes, tmp_path / "convert")
    world = World(tmp_path / "node")
    left = [one for volume in volumes for one in volume]
    chance.shuffle(left)
    while left:
        count = chance.randint(1, len(left))
        world.receive(left[:count])
        del left[:count]
        world.bench.run(chance.choice([0.0, 0.5, 3.0, 20.0]))
        if chance.random() < 0.4:
            world.bench.restart()
    world.bench.run(300.0)
    assert sorted(world.states().values()) == ["joined"] * 3 + ["ready"]
    assert published(world) == wanted
    world.bench.index.close()


def test_volumes_of_one_run_are_published_once_and_say_where_they_are(tmp_path: Path) -> None:
    world = World(tmp_path)
    for volume in run():
        world.receive(volume)
        world.bench.run(2.0)
        assert world.images() == []
    world.bench.run(6.0)
    stands = world.stands()
    assert stands.uid == f"{ROOT}.9.4"  # of the first volume
    assert (stands.revision, world.kinds()) == (1, ["ready"])
    assert stands.verdict["run"]["volumes"] == VOLUMES
    manifest = world.bench.read(f"{STEM}.manifest.json")
    assert manifest["shape"][3] == VOLUMES
    (evidence,) = [one for one in manifest["evidence"]["reasons"] if one["source"] == "run"]
    assert evidence["members"] == [f"{ROOT}.9.{number}" for number in (4, 3, 2, 1)]
    for one in world.bench.work.in_state(SeriesState.JOINED):
        assert one.run == stands.pk
        assert one.verdict is not None
        assert one.verdict["joined"] == stands.uid
        assert stands.uid in one.verdict["why"]
    assert len(world.bench.executor.jobs) == 1
    world.bench.index.close()


def test_a_late_volume_makes_another_revision_and_supersedes_the_first(tmp_path: Path) -> None:
    world = World(tmp_path / "node")
    *early, late = run()
    for volume in early:
        world.receive(volume)
    world.bench.run(10.0)
    assert world.stands().revision == 1
    before = world.images()
    world.receive(late)
    world.bench.run(1.0)
    assert world.images() == before
    world.bench.run(30.0)
    assert world.stands().revision == 2
    assert world.kinds() == ["ready", "superseded", "ready"]
    assert published(world) == converted(run(), tmp_path / "convert")
    world.bench.index.close()


def test_an_earlier_volume_that_arrives_late_does_not_move_the_run(tmp_path: Path) -> None:
    world = World(tmp_path / "node")
    late, *early = run()
    for volume in early:
        world.receive(volume)
    world.bench.run(10.0)
    first = world.stands()
    world.receive(late)
    world.bench.run(30.0)
    assert (world.stands().uid, world.stands().revision) == (first.uid, 2)
    assert world.images() == [f"{STEM}.nii.gz"]
    assert published(world) == converted(run(), tmp_path / "convert")
    world.bench.index.close()


def test_a_single_volume_of_such_a_scanner_is_published_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path)
    volume = run()[0]
    world.receive(volume)
    world.bench.run(7.0)
    assert world.states() == {f"{ROOT}.9.4": "ready"}
    assert world.stands().verdict.get("run") is None
    world.bench.index.close()


def test_other_numbers_and_makers_are_not_joined(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second, third, fourth = run()
    for one in second:
        one.SeriesNumber = 8
    for one in third:
        one.Manufacturer = "Somebody Else"
    for one in fourth:
        one.EchoTime = 30
    for volume in (first, second, third, fourth):
        world.receive(volume)
    world.bench.run(20.0)
    assert set(world.states().values()) == {"ready"}
    assert len(world.images()) == 4
    world.bench.index.close()


def test_the_run_waits_for_a_volume_that_is_held(tmp_path: Path) -> None:
    world = World(tmp_path, timing=Timing())
    volumes = run()
    gap = volumes[2].pop(3)
    for volume in volumes:
        world.receive(volume)
    world.bench.run(100.0)
    assert world.states()[f"{ROOT}.9.2"] == "held"
    assert world.images() == []
    waiting = world.bench.series(f"{ROOT}.9.4")
    assert waiting.verdict is not None
    assert f"{ROOT}.9.2" in waiting.verdict["waits"]
    world.receive([gap])
    world.bench.run(30.0)
    assert world.stands().verdict["run"]["volumes"] == VOLUMES
    world.bench.index.close()


def actions(world: World) -> OperatorActions:
    bench = world.bench
    return OperatorActions(
        bench.work,
        bench.outbox,
        EvidenceLoader(bench.work, bench.statements),
        person="somebody",
        clock=lambda: bench.now,
    )


def test_retry_of_any_volume_is_a_retry_of_the_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    for volume in run():
        world.receive(volume)
    world.bench.run(10.0)
    (world.bench.output / f"{STEM}.nii.gz").unlink()
    actions(world).retry(f"{ROOT}.9.2")
    world.bench.run(10.0)
    assert world.images() == [f"{STEM}.nii.gz"]
    assert world.stands().revision == 2
    assert sorted(world.states().values()) == ["joined"] * 3 + ["ready"]
    world.bench.index.close()


def test_a_volume_that_no_longer_fits_leaves_the_run(tmp_path: Path) -> None:
    """A slice more makes it another kind of volume."""
    world = World(tmp_path)
    for volume in run():
        world.receive(volume)
    world.bench.run(10.0)
    more = Phantom(size=(6, 5, SLICES + 1)).instance(SLICES)
    like = run()[3][0]
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "SeriesNumber", "Manufacturer",
                    "SoftwareVersions", "AcquisitionDate", "AcquisitionTime"):  # fmt: skip
        setattr(more, keyword, getattr(like, keyword))
    more.SOPInstanceUID, more.InstanceNumber = f"{ROOT}.9.1.99", SLICES + 1
    world.receive([more])
    world.bench.run(30.0)
    assert sorted(world.states().values()) == ["joined"] * 2 + ["ready"] * 2
    shapes = sorted(
        world.bench.read(name)["shape"] for name in world.bench.files()
        if name.endswith(".manifest.json")
    )  # fmt: skip
    assert shapes == [[6, 5, SLICES, 3], [6, 5, SLICES + 1]]
    world.bench.index.close()


def test_an_aborted_association_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second, *_ = run()
    association = world.bench.open()
    world.receive(first, association)
    world.bench.end(association, AssociationEnd.ABORTED)
    world.bench.run(20.0)
    assert world.images() == []
    world.receive(second)
    world.bench.run(70.0)
    assert world.stands().verdict["run"]["volumes"] == 2
    world.bench.index.close()


def test_retention_removes_a_run_as_a_whole(tmp_path: Path) -> None:
    world = World(tmp_path)
    for volume in run():
        world.receive(volume)
    world.bench.run(10.0)
    expiry = Expiry(world.bench.index)
    (one,), _ = expiry.expendable(world.bench.now + 1, 10)
    assert one.uid == world.stands().uid
    assert one.size == expiry.size()
    assert len(expiry.remove(one)) == VOLUMES * SLICES
    assert world.states() == {}
    assert expiry.size() == 0
    world.bench.index.close()


def test_a_run_is_joined_grows_and_expires_on_postgresql(server: str, tmp_path: Path) -> None:
    with migrated_postgresql(server) as url:
        world = World(tmp_path, url=url)
        *early, late = run()
        for volume in early:
            world.receive(volume)
        world.bench.run(10.0)
        world.receive(late)
        world.bench.run(30.0)
        assert sorted(world.states().values()) == ["joined"] * 3 + ["ready"]
        assert world.stands().revision == 2
        expiry = Expiry(world.bench.index)
        (one,), _ = expiry.expendable(world.bench.now + 1, 10)
        assert len(expiry.remove(one)) == VOLUMES * SLICES
        assert (world.states(), expiry.size()) == ({}, 0)
        world.bench.index.close()
