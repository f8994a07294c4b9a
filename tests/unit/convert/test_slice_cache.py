"""Slices compressed in advance: they change no byte, and are used only where they are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import node.assemble.volumes.layers
import node.convert.volume
from node.assemble.volumes.layers import expected_layers
from node.convert import InstanceSource, OutputOptions, compress_slices, convert_series, read_folder
from node.convert.slice_cache import SliceCache
from node.convert.sources import PixelReader
from tests.files import contents
from tests.phantom import CT, PET, Phantom, oblique, save

COUNT = 7
SCALES: list[dict[str, Any]] = [
    {},
    {"RescaleSlope": 1, "RescaleIntercept": -1024},
    {"RescaleSlope": 0.5, "RescaleIntercept": 3},
]


@pytest.fixture(autouse=True)
def each_layer_is_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.assemble.volumes.layers, "BLOCK_BYTES", 16)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The slices that are read, in order."""
    found: list[str] = []
    plain = PixelReader.__call__

    def read(self: PixelReader, piece: Any) -> Any:
        found.append(piece.uid)
        return plain(self, piece)

    monkeypatch.setattr(PixelReader, "__call__", read)
    return found


def received(phantom: Phantom, folder: Path) -> list[InstanceSource]:
    """Instances as a node has them: it knows the digests of their data sets."""
    save(phantom.instances(), folder)
    (series,), _ = read_folder([folder])
    return [digested(source) for source in series.instances]


def digested(source: InstanceSource) -> InstanceSource:
    digest = hashlib.sha256(source.path.read_bytes()[source.offset :]).hexdigest()
    return msgspec.structs.replace(source, digest=digest)


def written(
    sources: Sequence[InstanceSource],
    folder: Path,
    stock: Path | None = None,
    options: OutputOptions | None = None,
) -> dict[str, Any]:
    folder.mkdir()
    conversion = convert_series(sources, folder, "x", options, slice_cache=stock)
    assert len(conversion.products) == 1
    return contents(folder)


@given(
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 2),
    turned=st.booleans(),
    angles=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    volumes=st.integers(1, 3),
    scale=st.sampled_from(SCALES),
    picks=st.lists(st.integers(0, COUNT * 3 - 1), min_size=1, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_no_byte_differs(
    tmp_path_factory: pytest.TempPathFactory,
    flips: tuple[int, int],
    turned: bool,
    angles: Any,
    volumes: int,
    scale: dict[str, Any],
    picks: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("stock")
    axes = np.eye(3)[:, [1, 0] if turned else [0, 1]] * flips
    rotation = oblique(angles) @ np.hstack([axes, np.cross(axes[:, 0], axes[:, 1])[:, None]])
    phantom = Phantom(
        rotation=rotation,
        size=(6, 5, COUNT),
        volumes=volumes,
        sop_class=PET if "RescaleSlope" in scale and scale["RescaleSlope"] == 0.5 else CT,
        attributes=scale,
    )
    sources = received(phantom, folder / "in")
    arrived = [sources[pick] for pick in picks if pick < len(sources)]
    stock = folder / "stock"
    laid = sum(
        compress_slices(stock, arrived[start : start + 3], OutputOptions())
        for start in range(0, len(arrived), 3)
    )
    assert laid == len(arrived)
    assert written(sources, folder / "a", stock) == written(sources, folder / "b")


def test_what_is_in_stock_is_not_read_again(tmp_path: Path, reads: list[str]) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    compress_slices(tmp_path / "stock", sources[:5], OutputOptions())
    reads.clear()
    written(sources, tmp_path / "out", tmp_path / "stock")
    middle = sources[COUNT // 2].uid
    assert sorted(reads) == sorted({middle, *(source.uid for source in sources[5:])})


def test_where_all_bits_are_in_use_the_likely_shift_is_foreseen(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.convert.volume, "SMALL_BYTES", 0)
    signed = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, **SCALES[1]}
    sources = received(
        Phantom(size=(6, 5, COUNT), sop_class=CT, attributes=signed), tmp_path / "in"
    )
    assert compress_slices(tmp_path / "stock", sources, OutputOptions()) == COUNT
    reads.clear()
    with_stock = written(sources, tmp_path / "a", tmp_path / "stock")
    assert len(reads) == COUNT + 1  # all for the smallest and largest value, one for the picture
    assert with_stock == written(sources, tmp_path / "b")


def test_other_pixels_under_the_same_uid_are_read(tmp_path: Path, reads: list[str]) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    compress_slices(tmp_path / "stock", sources, OutputOptions())
    content = bytearray(sources[0].path.read_bytes())
    content[-1] ^= 1
    sources[0].path.write_bytes(content)
    sources[0] = digested(sources[0])
    reads.clear()
    with_stock = written(sources, tmp_path / "a", tmp_path / "stock")
    assert sources[0].uid in reads
    assert with_stock == written(sources, tmp_path / "b")


@pytest.mark.parametrize(
    "late", [{"BitsStored": 16, "HighBit": 15}, {"RescaleSlope": 0.5, "RescaleIntercept": 1}]
)
def test_a_late_slice_that_changes_the_voxel_type_leaves_the_stock_unused(
    tmp_path: Path, late: dict[str, Any], reads: list[str]
) -> None:
    phantom = Phantom(size=(6, 5, COUNT), sop_class=CT, attributes=SCALES[1])
    datasets = phantom.instances()
    for keyword, value in late.items():
        setattr(datasets[-1], keyword, value)
    save(datasets, tmp_path / "in")
    (series,), _ = read_folder([tmp_path / "in"])
    sources = [digested(source) for source in series.instances]
    assert compress_slices(tmp_path / "stock", sources[:-1], OutputOptions()) == COUNT - 1
    reads.clear()
    with_stock = written(sources, tmp_path / "a", tmp_path / "stock")
    assert len(reads) == COUNT
    assert with_stock == written(sources, tmp_path / "b")


def test_a_layer_that_lies_otherwise_or_is_scaled_otherwise_is_not_in_stock(tmp_path: Path) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    compress_slices(tmp_path / "stock", sources, OutputOptions())
    stock = SliceCache(tmp_path / "stock", sources, OutputOptions().level)
    layer = expected_layers([source.header for source in sources])[0]
    assert stock.get(layer) is not None
    flipped = layer.orientation * [[1, -1], [1, 1], [1, 1]]
    frame = msgspec.structs.replace(layer.piece.frame, slope=2.0)
    for other in (
        layer._replace(orientation=flipped),
        layer._replace(piece=layer.piece._replace(frame=frame)),
        layer._replace(values=layer.values._replace(dtype=np.dtype("i4"))),
    ):
        assert stock.get(other) is None


def test_another_level_of_compression_finds_nothing(tmp_path: Path, reads: list[str]) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    compress_slices(tmp_path / "stock", sources, OutputOptions(level=1))
    reads.clear()
    options = OutputOptions(level=3)
    with_stock = written(sources, tmp_path / "a", tmp_path / "stock", options)
    assert len(reads) == COUNT
    assert with_stock == written(sources, tmp_path / "b", options=options)


def test_files_that_are_not_compressed_need_none(tmp_path: Path) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    compress_slices(tmp_path / "stock", sources, OutputOptions())
    options = OutputOptions(compress=False)
    with_stock = written(sources, tmp_path / "a", tmp_path / "stock", options)
    assert with_stock == written(sources, tmp_path / "b", options=options)


def test_the_end_may_be_half_written(tmp_path: Path, reads: list[str]) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    compress_slices(tmp_path / "whole", sources, OutputOptions())
    whole = (tmp_path / "whole").read_bytes()
    plain = written(sources, tmp_path / "plain")
    read = []
    for end in (*range(0, len(whole), 37), len(whole)):
        (tmp_path / "stock").write_bytes(whole[:end])
        reads.clear()
        assert written(sources, tmp_path / f"out{end}", tmp_path / "stock") == plain
        read.append(len(reads))
    assert (read[0], read[-1]) == (COUNT, 1)  # the picture wants the middle one
    assert sorted(read, reverse=True) == read


def test_what_was_damaged_is_read_instead(tmp_path: Path) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    compress_slices(tmp_path / "whole", sources, OutputOptions())
    whole = (tmp_path / "whole").read_bytes()
    plain = written(sources, tmp_path / "plain")
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        (tmp_path / "stock").write_bytes(damaged)
        assert written(sources, tmp_path / f"out{at}", tmp_path / "stock") == plain


def test_a_stock_that_was_not_begun_is_empty(tmp_path: Path) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    plain = written(sources, tmp_path / "plain")
    assert written(sources, tmp_path / "a", tmp_path / "nothing") == plain
    (tmp_path / "empty").touch()
    assert written(sources, tmp_path / "b", tmp_path / "empty") == plain
    assert written(sources, tmp_path / "c", tmp_path / "in") == plain  # it cannot be read


def test_slices_that_cannot_be_read_are_left_for_the_assembly(tmp_path: Path) -> None:
    sources = received(Phantom(size=(6, 5, COUNT)), tmp_path / "in")
    sources[1].path.write_bytes(sources[1].path.read_bytes()[:-4])
    assert compress_slices(tmp_path / "stock", sources, OutputOptions()) == COUNT - 1


def test_coronal_slices_are_not_layers(tmp_path: Path) -> None:
    coronal = Phantom(size=(6, 5, COUNT), rotation=np.eye(3)[:, [2, 0, 1]])
    assert (
        compress_slices(tmp_path / "stock", received(coronal, tmp_path / "in"), OutputOptions())
        == 0
    )
