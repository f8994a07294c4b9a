"""From an image and a series of a real archive to objects, and to what a command answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from node.cli.result import _write
from node.convert import Proof, convert_series, read_folder
from node.convert.results import Form, ResultError
from node.core.errors import StorageFull
from node.core.events import Delivery
from node.core.records import SeriesState
from node.core.settings.deliver import ResultsSettings
from node.deliver.targets.results import target_of
from node.deliver.targets.target import DeliveryFailed, DeliveryRefused
from node.lifecycle.results.command_images import CommandImages
from node.lifecycle.results.kept import ResultStore
from node.lifecycle.results.making import Kind, Made, Request, make
from node.lifecycle.results.series import ResultSeries
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.peers.outbox import Outbox
from node.storage.index.series.publications import Publications
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from node.storage.receive.instance_receiver import SUCCESS, incoming_from_file
from tests.databases import migrated_sqlite
from tests.phantom import Phantom, oblique, save
from tests.storing import DirectReception
from tests.unit.deliver.samples import delivery

PHANTOM = Phantom(
    rotation=oblique((0.2, 0.1, -0.3)), size=(9, 8, 5), attributes={"PatientID": "R1"}
)
NAME = "a/0007_MR"


class World:
    """A series in an archive, whose volume is published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = Archive(folder)
        self.archive.prepare()
        self.index = Index(migrated_sqlite(folder / "index.db"))
        self.work, self.outbox = Work(self.index), Outbox(self.index)
        self.output = folder / "nifti"
        self.store = ResultStore(folder, self.outbox, 0)

    def receive(self, phantom: Phantom, slices: int) -> None:
        reception = DirectReception(self.archive, Store(self.index))
        for path in save(phantom.instances()[:slices], self.folder / "in")[:slices]:
            assert reception.store(incoming_from_file(path.read_bytes())).status == SUCCESS

    def publish(self, revision: int = 1) -> None:
        """Make the volume as the node does, and put the manifest before aside."""
        before = self.output / f"{NAME}.manifest.json"
        if before.exists():
            before.rename(self.output / f"{NAME}.manifest.r{revision - 1}.json")
        (found,), _ = read_folder([self.archive.root])[:2]
        made = convert_series(found.instances, self.output, NAME, proof=Proof(revision))
        (product,) = made.products
        record = self.work.series(PHANTOM.series)
        assert record is not None
        publications = Publications(self.index)
        assert publications.begin(record, revision, str(revision), product.files, {}, 1.0, {})
        publications.finish(record, revision, SeriesState.READY, now=1.0, actor="test", detail={})
        self.work.claim_stem(record.pk, NAME)

    @property
    def series(self) -> ResultSeries:
        return ResultSeries(self.work, self.archive.root, self.output, PHANTOM.series)

    @property
    def volume(self) -> nib.Nifti1Image:
        return nib.load(self.output / f"{NAME}.nii.gz")

    def image(self, name: str = "mask", dtype: type = np.int16) -> Path:
        """Write an image with two labels on the volume's grid."""
        values = np.zeros(self.volume.shape, dtype)
        values[1:4, 2:5, 1:3] = 1
        values[5:7, 2:5, 2:] = 4
        path = self.folder / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(values, self.volume.affine), path)
        return path

    def make(self, path: Path | None = None, **request: Any) -> Made:
        return make(self.series, path or self.image(), Request(**request))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.receive(PHANTOM, 5)
    made.publish()
    yield made
    made.index.close()


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_made_of_the_published_volume(world: World, kind: Kind) -> None:
    made = world.make(kind=kind)
    assert len(made.objects) == {Kind.IMAGE: 5, Kind.CAPTURE: 4}.get(kind, 1)
    for one in made.objects:
        assert one.PatientID == "R1"
        assert one.SeriesInstanceUID != PHANTOM.series
    paths = _write(made, str(world.folder / "out"))
    assert all(path.read_bytes()[128:132] == b"DICM" for path in paths)
    assert paths[0].is_file()


def test_labels_and_units_of_the_json_beside_it(world: World) -> None:
    path = world.image()
    labels = [{"value": 1, "name": "One"}, {"value": 4, "name": "Four"}, {"value": 5}]
    beside = world.folder / "mask.json"
    beside.write_text(json.dumps({"Labels": labels, "Units": "mm2/s"}))
    for kind in (Kind.SEG, Kind.RTSTRUCT, Kind.CAPTURE):
        made = world.make(path, kind=kind)
        assert [label.name for label in made.left_out] == ["Label 5"]
    (segments,) = world.make(path).objects
    assert [one.SegmentLabel for one in segments.SegmentSequence] == ["One", "Four"]
    (mapped,) = world.make(path, kind=Kind.MAP).objects
    shared = mapped.SharedFunctionalGroupsSequence[0]
    group = shared if "RealWorldValueMappingSequence" in shared else (
        mapped.PerFrameFunctionalGroupsSequence[0]
    )  # fmt: skip
    unit = group.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
    assert unit.CodeValue == "mm2/s"
    other = world.folder / "other.json"
    other.write_text(json.dumps([{"value": 1, "name": "Uno"}, {"value": 4, "name": "Quattro"}]))
    (segments,) = world.make(path, labels=other).objects
    assert [one.SegmentLabel for one in segments.SegmentSequence] == ["Uno", "Quattro"]


def test_a_series_that_is_not_there(world: World) -> None:
    with pytest.raises(ResultError, match="no-such-series"):
        ResultSeries(world.work, world.archive.root, world.output, "1.2.3")


def test_a_late_slice_makes_images_of_before_outdated(world: World) -> None:
    longer = PHANTOM.but(size=(9, 8, 6))
    path = world.image("early")
    fresh = (world.folder / "early.manifest.json").write_bytes
    fresh((world.output / f"{NAME}.manifest.json").read_bytes())
    world.make(path)
    world.receive(longer, 6)
    world.publish(2)
    with pytest.raises(ResultError, match="outdated-revision"):
        world.make(path)
    with pytest.raises(ResultError, match="outdated-revision"):
        world.make(world.image("late"), revision=1)
    (made,) = world.make(world.image("late"), revision=2).objects
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4"


def test_a_source_that_is_damaged_or_gone_makes_nothing(world: World) -> None:
    first = world.series.header  # of the first slice, as read by then
    del first
    for path in world.archive.root.rglob("*.dcm"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Exception, match="instance-damaged"):
        world.make()


def test_another_grid_is_resampled_where_that_is_asked_for(world: World) -> None:
    whole = world.volume
    fine = np.repeat(np.ones(whole.shape, np.uint8), 2, axis=0)
    affine = whole.affine @ np.diag([0.5, 1, 1, 1])
    path = world.folder / "fine.nii.gz"
    nib.save(nib.Nifti1Image(fine, affine), path)
    with pytest.raises(ResultError, match=r"grid-mismatch: .*--resample"):
        world.make(path)
    (made,) = world.make(path, resample=True).objects
    assert made.ContentDescription == "resampled to the source slices by nearest neighbour"
    assert made.pixel_array.all()
    (mapped,) = world.make(path, resample=True, kind=Kind.MAP).objects
    assert "linear" in mapped.ContentDescription


def test_forms(world: World) -> None:
    (made,) = world.make(form=Form.LABELMAP).objects
    assert made.SegmentationType == "LABELMAP"
    path = world.image("share", np.float32)
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata() / 8, image.affine), path)
    with pytest.raises(ResultError, match=r"not-integer: .*--form fractional"):
        world.make(path)
    (made,) = world.make(path, form=Form.FRACTIONAL).objects
    assert made.SegmentationType == "FRACTIONAL"


def answers(world: World) -> CommandImages:
    return CommandImages(
        "model", world.work, world.store, world.outbox, world.archive.root, world.output
    )


def told(world: World, **changes: Any) -> Delivery:
    series = world.series.record
    return replace(delivery(), series_pk=series.pk, series_uid=series.uid, **changes)


SETTINGS = ResultsSettings.model_validate({"as": "seg", "send": "pacs"})


def test_what_a_command_leaves_goes_into_the_outbox_once(world: World) -> None:
    taking, event = answers(world), told(world)
    for attempt in (0, 1):
        folder = taking.workspace(replace(event, attempts=attempt))
        world.image().rename(folder / "b.nii.gz")
        world.image().rename(folder / "a.nii.gz")
        taking.take(event, SETTINGS, folder)
        taking.discard(folder)
        assert not folder.exists()
    waiting = world.outbox.of_series(event.series_pk)
    assert [one.target for one in waiting] == [target_of("pacs")] * 2
    uids = [one.payload["instances"][0]["sop_instance_uid"] for one in waiting]
    assert len(set(uids)) == 2
    numbers = [one.payload["series_number"] for one in waiting]
    assert numbers == [8, 9]


def test_a_retry_makes_the_same_objects(world: World) -> None:
    found = []
    for root in ("one", "other"):
        taking, event = answers(world), told(world)
        taking._store = ResultStore(world.folder / root, world.outbox, 0)
        folder = taking.workspace(event)
        world.image().rename(folder / "a.nii.gz")
        taking.take(event, SETTINGS, folder)
        (waiting,) = world.outbox.of_series(event.series_pk)
        found.append((world.folder / root / "results" / waiting.payload["instances"][0]["path"])
                     .read_bytes())  # fmt: skip
        with world.index.writing() as connection:
            connection.exec_driver_sql("DELETE FROM delivery")
    assert found[0] == found[1]


def test_what_cannot_be_a_result_is_given_up(world: World) -> None:
    taking, event = answers(world), told(world)
    folder = taking.workspace(event)
    (folder / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(DeliveryRefused, match="unreadable-image"):
        taking.take(event, SETTINGS, folder)
    taking.take(replace(event, event="superseded"), SETTINGS, folder)
    assert not world.outbox.of_series(event.series_pk)


def test_a_full_disk_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taking, event = answers(world), told(world)
    folder = taking.workspace(event)
    world.image().rename(folder / "a.nii.gz")

    def full(*_: Any) -> None:
        raise StorageFull("no room")

    monkeypatch.setattr(world.store, "send", full)
    with pytest.raises(DeliveryFailed, match="no room"):
        taking.take(event, SETTINGS, folder)
