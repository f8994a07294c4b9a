"""The ready series of a node as samples: which ones, of which revision, and how much is kept."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from node import AssemblyError, open_volume
from node.convert import OutputOptions, Proof, convert_series, read_folder
from node.core.errors import ConfigError
from node.core.records import SeriesState
from node.datasets import SeriesDataset
from node.storage.index.engine import Index
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.phantom import CT, Phantom, oblique, save
from tests.unit.storage.index.test_work import record

TURNED = Phantom(rotation=oblique((0.3, -0.2, 0.4)), sop_class=CT)


class Node:
    """A root with an index and published volumes, as a node leaves them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.yaml"
        self.config.write_text(yaml.safe_dump({"storage": {"root": str(root)}}))
        self.index = Index(f"sqlite:///{root / 'index.db'}")
        self.index.migrate()

    def publish(self, number: int, *, shift: float = 0.0, revision: int = 1) -> Path:
        one = record(revision, series=number)
        Store(self.index).add([(one, None)])
        name = f"{number}/one"
        folder = self.root / "in" / f"{number}-{revision}"
        phantom = TURNED.but(series=f"1.8.{number}", origin=(shift, 0.0, 0.0))
        save(phantom.instances(), folder)
        (series,) = read_folder([folder])[0]
        output = self.root / "nifti" / str(number)
        made = convert_series(
            series.instances, output, "one", OutputOptions(), Proof(revision=revision)
        )
        work = Work(self.index)
        known = work.series(f"1.8.{number}")
        assert known is not None
        outputs = [f"{number}/{file}" for file in made.products[0].files]
        moved = work.move(
            known, SeriesState.READY, now=2e9, actor="test", revision=revision, outputs=outputs
        )
        assert moved is not None
        return self.root / "nifti" / f"{name}.nii.gz"


@pytest.fixture(autouse=True)
def _arrays_stand_for_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(from_numpy=np.asarray))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "monai.data", None)  # type: ignore[arg-type]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.index.close()


def test_samples_are_the_volumes_of_ready_series(node: Node) -> None:
    paths = [node.publish(number, shift=number) for number in (1, 2)]
    Store(node.index).add([(record(1, series=3), None)])  # is received, and not ready
    dataset: Any = SeriesDataset(node.config)
    assert [item.image for item in dataset.items] == paths
    for number, path in enumerate(paths):
        sample, volume = dataset[number], open_volume(path)
        assert (sample["image"][0] == volume.array).all()
        assert sample["image"].dtype == np.float32
        assert (sample["affine"] == volume.affine).all()
        assert sample["series_instance_uid"] == volume.series_instance_uid
        assert sample["revision"] == 1
    assert len(pickle.loads(pickle.dumps(dataset))) == 2  # noqa: S301  workers of a loader get it


def test_conditions_are_those_of_deliveries(node: Node) -> None:
    node.publish(1)
    assert len(SeriesDataset(node.config, when={"Modality": ["CT", "M?"]})) == 1
    assert len(SeriesDataset(node.config, when={"Modality": "CT"})) == 0
    assert len(SeriesDataset(node.config, unless={"Modality": "MR"})) == 0
    with pytest.raises(ValueError, match="did you mean Modality"):
        SeriesDataset(node.config, when={"Modalty": "CT"})


def test_a_new_revision_is_read_again(node: Node, tmp_path: Path) -> None:
    path = node.publish(1)
    dataset: Any = SeriesDataset(node.config, cache=tmp_path / "cache")
    first = dataset[0]["image"]
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1
    again = dataset[0]
    assert (again["image"] == first).all()
    assert (again["affine"] == open_volume(path).affine).all()
    path.rename(path.with_name("away"))  # what is kept needs no image
    assert (dataset[0]["image"] == first).all()
    path.with_name("away").unlink()
    node.publish(1, shift=3.0, revision=2)
    sample = dataset[0]
    assert sample["revision"] == 2
    assert (sample["image"] == open_volume(path).array).all()
    assert (sample["image"] != first).any()


def test_the_cache_is_bounded(node: Node, tmp_path: Path) -> None:
    for number in range(1, 5):
        node.publish(number, shift=number)
    size = 4 * 6 * 5 * 4 + 128
    dataset: Any = SeriesDataset(node.config, cache=tmp_path / "cache", cache_bytes=2 * size)
    for number in range(4):
        dataset[number]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    small: Any = SeriesDataset(node.config, cache=tmp_path / "none", cache_bytes=10)
    assert small[0]["image"].shape == dataset[0]["image"].shape
    assert list((tmp_path / "none").iterdir()) == []


def test_a_damaged_volume_is_no_sample(node: Node) -> None:
    path = node.publish(1)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(AssemblyError, match="output-damaged"):
        SeriesDataset(node.config)[0]


def test_samples_are_transformed(node: Node) -> None:
    node.publish(1)
    dataset: Any = SeriesDataset(node.config, transform=lambda sample: sample["image"] * 2)
    assert (dataset[0] == SeriesDataset(node.config)[0]["image"] * 2).all()


def test_where_no_node_has_run_there_is_no_dataset(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"storage": {"root": str(tmp_path)}}))
    with pytest.raises(ConfigError, match="no index"):
        SeriesDataset(config)
