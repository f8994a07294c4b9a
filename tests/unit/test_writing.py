"""The same image gives the same file, however it is compressed."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np

from node.assemble.nifti import data_view, header_bytes, make_header
from node.convert.writing import CHUNK_BYTES, OutputOptions, write_image


def test_threads_change_no_byte(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 4000, (128, 128, 80, 1)).astype("i2")
    array = np.asfortranarray(noise)
    assert array.nbytes > 2 * CHUNK_BYTES
    header = make_header(array, np.eye(4))
    plain = write_image(tmp_path / "a.nii", header, array, OutputOptions(compress=False))
    files = []
    for threads in (1, 2, 3):
        path = tmp_path / f"{threads}.nii.gz"
        digest = write_image(path, header, array, OutputOptions(), threads)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(path.read_bytes())
    assert len(set(files)) == 1
    unpacked = gzip.decompress(files[0])
    assert unpacked == (tmp_path / "a.nii").read_bytes()
    assert unpacked == header_bytes(header) + bytes(data_view(array))
    assert hashlib.sha256(unpacked).hexdigest() == plain
