"""A codec that aborts takes no series, no command and no node with it."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from node.assemble.model import PixelFormat
from node.convert import isolated
from node.convert.isolated import decode_apart
from node.errors import AssemblyError, Reason
from tests.phantom import Phantom

PHANTOM = Phantom(size=(48, 40, 1))
FORMAT = PixelFormat(40, 48, 1, "MONOCHROME2", 0, 16, 12, 11, signed=False)


@pytest.fixture
def stream() -> bytes:
    dataset = PHANTOM.instance(0)
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def expected() -> np.ndarray:
    return np.frombuffer(PHANTOM.instance(0).PixelData, "<u2").reshape(40, 48)


def test_the_same_values_and_the_same_refusals_as_in_this_process(stream: bytes) -> None:
    found = decode_apart(stream, FORMAT, RLELossless)
    assert found.dtype == np.uint16
    assert np.array_equal(found, expected())
    with pytest.raises(AssemblyError) as caught:
        decode_apart(b"", FORMAT, RLELossless)
    assert caught.value.reason is Reason.PIXELS_TRUNCATED
    isolated._child.close()


def test_a_codec_that_dies_is_a_refusal_and_the_next_frame_is_decoded(
    stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = f"import os, sys; sys.stdin.buffer.read(8); os.kill(os.getpid(), {signal.SIGABRT})"
    isolated._child.close()
    with monkeypatch.context() as patched:
        patched.setattr(isolated, "_SERVE", dying)
        with pytest.raises(AssemblyError) as caught:
            decode_apart(stream, FORMAT, RLELossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE
    assert "damaged" in caught.value.sentence
    assert np.array_equal(decode_apart(stream, FORMAT, RLELossless), expected())
    isolated._child.close()


def test_a_codec_that_hangs_is_ended(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    isolated._child.close()
    monkeypatch.setattr(isolated, "_SERVE", "import time; time.sleep(600)")
    monkeypatch.setattr(isolated, "LONGEST_FRAME_SECONDS", 0.3)
    with pytest.raises(AssemblyError) as caught:
        decode_apart(stream, FORMAT, RLELossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE


def test_a_forked_process_has_a_child_of_its_own(stream: bytes) -> None:
    decode_apart(stream, FORMAT, RLELossless)
    first = isolated._child._process
    owner = isolated._child._owner
    isolated._child._owner = os.getpid() + 1  # as it is after a fork
    try:
        decode_apart(stream, FORMAT, RLELossless)
        assert isolated._child._process is not first
    finally:
        isolated._child.close()
        isolated._child._process, isolated._child._owner = first, owner
        isolated._child.close()
