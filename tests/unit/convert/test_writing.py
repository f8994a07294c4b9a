"""The same image gives the same file, however it is compressed."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest

from node.assemble.volumes.layers import BLOCK_BYTES, cut
from node.assemble.volumes.nifti import data_view, header_bytes, make_header
from node.convert.writing import OutputOptions, write_image


def test_threads_change_no_byte(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 4000, (128, 128, 80, 1)).astype("i2")
    array = np.asfortranarray(noise)
    assert array.nbytes > 8 * BLOCK_BYTES
    header = make_header(array.shape, array.dtype, np.eye(4))
    plain = write_image(tmp_path / "a.nii", header, cut(array), OutputOptions(compress=False))
    files = []
    for threads in (1, 2, 3):
        path = tmp_path / f"{threads}.nii.gz"
        digest = write_image(path, header, cut(array), OutputOptions(), threads)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(path.read_bytes())
    assert len(set(files)) == 1
    unpacked = gzip.decompress(files[0])
    assert unpacked == (tmp_path / "a.nii").read_bytes()
    assert unpacked == header_bytes(header) + bytes(data_view(array))
    assert hashlib.sha256(unpacked).hexdigest() == plain


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_it_is_one_member_that_any_reader_of_gzip_takes(tmp_path: Path, level: int) -> None:
    array = np.zeros((300, 300, 3, 2), "f4", order="F")
    array[5] = np.random.default_rng(3).normal(size=array.shape[1:])
    header = make_header(array.shape, array.dtype, np.eye(4))
    path = tmp_path / "x.nii.gz"
    write_image(path, header, cut(array), OutputOptions(level=level))
    reader = zlib.decompressobj(wbits=31)
    unpacked = reader.decompress(path.read_bytes())
    assert reader.eof
    assert not reader.unused_data
    assert unpacked == header_bytes(header) + bytes(data_view(array))
