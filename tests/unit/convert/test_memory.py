"""What a volume takes is bounded, and known before its pixels are read."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import msgspec
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
)

from benchmarks.peak import MOST_MORE, MOST_TIMES, Case, colour, picture, slice_in
from node.convert import Conversion, convert_series, decoding, memory, read_folder, volumes_of
from node.convert.sources import LARGEST_HEADER, most_inflated
from node.core.errors import AssemblyError, Reason, TooLittleMemory
from node.core.system.machine import free_memory, memory_bytes
from tests.small import small_ct

SIDE = 4000
LOADED = 100e6
"""Bytes of an interpreter and its modules."""


def converted(folder: Path) -> Conversion:
    (series,) = read_folder([folder / "in"])[0]
    return convert_series(series.instances, folder / "out", "v")


def most_held(process: int) -> int:
    """The most that a process has held, without the libraries that it has mapped: which of their
    pages a process has touched says more about the tests that were run before."""
    status = Path(f"/proc/{process}/status").read_text()

    def field(name: str) -> int:
        return int(status.partition(f"{name}:")[2].split()[0]) * 1024

    return field("VmHWM") - field("RssFile")


def peak_of(folder: Path) -> int:
    """The most that a process held more than before, and its decoder, each counted by itself, in
    bytes: what the tests themselves have loaded is not a node's."""
    told = folder / "told"
    decoding.close()  # decoders of earlier tests are not this one's
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            Path("/proc/self/clear_refs").write_text("5")  # what was held before does not count
            before = most_held(os.getpid())
            assert converted(folder).products
            decoders = [one._process.pid for one in decoding.pool._pool._idle]
            most = sum(map(most_held, [os.getpid(), *decoders])) - before
            told.write_text(str(most))
            decoding.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return int(told.read_text())


@pytest.mark.parametrize(
    "case",
    [
        slice_in(ExplicitVRLittleEndian, SIDE),
        slice_in(RLELossless, SIDE),
        colour(SIDE, "YBR_FULL", 0),
    ],
    ids=lambda case: case.name,
)
def test_a_large_slice(case: Case, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    case.make(tmp_path / "in")
    loaded = 0 if "RLE" in case.name else LOADED  # the decoder's, which is counted
    assert peak_of(tmp_path) <= MOST_TIMES * case.volume + MOST_MORE - loaded
    written = nib.load(tmp_path / "out" / "v.nii.gz")  # type: ignore[attr-defined]
    found = np.asarray(written.dataobj)[::-1, ::-1, 0].T
    expected = picture(SIDE)
    if found.dtype.names:
        assert found.shape == expected.shape
    else:
        assert np.array_equal(found, expected.astype(np.int16) - 1024)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    small_ct(tmp_path / "in", 3, announced=True)
    return tmp_path


def test_what_can_never_fit_is_refused_before_it_is_read(
    series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "ALWAYS_BYTES", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    monkeypatch.setattr(memory, "most_memory", lambda: 1000)
    monkeypatch.setattr("node.convert.sources.os.open", None)  # nothing is read
    (refusal,) = converted(series).refusals
    assert refusal.reason is Reason.UNSUPPORTED_PIXELS
    assert "too large for the memory" in refusal.sentence
    assert not list((series / "out").glob("*"))


def test_what_does_not_fit_now_can_be_tried_again(
    series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "ALWAYS_BYTES", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    with pytest.raises(TooLittleMemory):
        converted(series)
    (found,) = read_folder([series / "in"])[0]
    (refusal,) = volumes_of(found.instances)
    assert isinstance(refusal, AssemblyError)
    assert refusal.reason is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_header_that_promises_what_is_not_there(syntax: str, tmp_path: Path) -> None:
    """65,535 rows and columns, and a few bytes of pixels."""
    (path,) = small_ct(tmp_path / "in", 1, announced=True)
    image = dcmread(path)
    if syntax == RLELossless:
        image.compress(RLELossless, generate_instance_uid=False)
    image.Rows = image.Columns = 65535
    image.save_as(path)
    (refusal,) = converted(tmp_path).refusals
    known = {Reason.PIXELS_TRUNCATED, Reason.UNSUPPORTED_PIXELS, Reason.PIXELS_UNREADABLE}
    assert refusal.reason in known


def test_a_deflated_data_set_that_grows_beyond_its_header(tmp_path: Path) -> None:
    (path,) = small_ct(tmp_path / "in", 1, announced=True)
    image = dcmread(path)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(path)
    (series,) = read_folder([tmp_path / "in"])[0]
    (one,) = series.instances
    head = path.read_bytes()[: one.offset]
    data = zlib.decompress(path.read_bytes()[one.offset :], -zlib.MAX_WBITS)
    more = data + struct.pack("<HH2sHI", 0x7FE1, 0x0010, b"OB", 0, 1 << 27) + bytes(1 << 27)
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(head + squeeze.compress(more) + squeeze.flush())
    (refusal,) = convert_series([one], tmp_path / "out", "v").refusals
    assert refusal.reason is Reason.PIXELS_UNREADABLE
    assert "larger than" in refusal.sentence
    assert one.header.pixels is not None
    assert most_inflated(one.header.pixels) == 32 * 32 * 2 + LARGEST_HEADER
    huge = msgspec.structs.replace(one.header.pixels, rows=65535, columns=65535, frames=1 << 20)
    assert most_inflated(huge) <= 4 << 30


def test_the_memory_of_control_groups(tmp_path: Path) -> None:
    """Of the process' own group, and of those above it; what was read from files is given back."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/rasnode.service\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   7340032 kB\n")
    top = tmp_path / "sys/fs/cgroup"
    own = top / "system.slice/rasnode.service"
    own.mkdir(parents=True)
    assert free_memory(tmp_path) == min(7 << 30, memory_bytes(tmp_path))
    for folder, most, used, spare in (
        (own, "max", 1, 0),
        (own.parent, str(3 << 30), 2 << 30, 1 << 29),
    ):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {spare}\nactive_file 2\n")
    assert memory_bytes(tmp_path) == 3 << 30
    assert free_memory(tmp_path) == (1 << 30) + (1 << 29)
    (tmp_path / "proc/self/cgroup").write_text("9:memory:/docker/a\n8:cpu:/\n")
    first = top / "memory/docker/a"
    first.mkdir(parents=True)
    (first / "memory.limit_in_bytes").write_text(str(2 << 30))
    (first / "memory.usage_in_bytes").write_text(str(1 << 30))
    (first / "memory.stat").write_text("cache 1\ntotal_inactive_file 0\n")
    assert (memory_bytes(tmp_path), free_memory(tmp_path)) == (2 << 30, 1 << 30)
