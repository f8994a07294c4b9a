"""A codec that aborts, hangs or grows takes no series, no command and no node with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from node.assemble.frames.model import PixelFormat
from node.convert import convert_series, decoding, read_folder
from node.convert.decoding import child, decode_apart, pool, prepare_copy
from node.convert.decoding.child import _decoded
from node.convert.decoding.pipes import Task
from node.core.errors import AssemblyError, Reason, TooLittleMemory
from tests.phantom import Phantom, save

PHANTOM = Phantom(size=(48, 40, 1))
FORMAT = PixelFormat(40, 48, 1, "MONOCHROME2", 0, 16, 12, 11, signed=False)
TAKEN = "import sys; sys.stdin.buffer.read(8); import os; "


@pytest.fixture(autouse=True)
def no_decoders() -> Iterator[None]:
    decoding.close()
    yield
    decoding.close()


@pytest.fixture
def stream() -> bytes:
    dataset = PHANTOM.instance(0)
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def expected() -> np.ndarray:
    return np.frombuffer(PHANTOM.instance(0).PixelData, "<u2").reshape(40, 48)


@pytest.mark.parametrize("copied", [False, True])
def test_the_same_values_and_the_same_refusals_as_in_this_process(
    stream: bytes, copied: bool
) -> None:
    if copied:
        prepare_copy()
    found = decode_apart(stream, FORMAT, RLELossless)
    assert found.dtype == np.uint16
    assert np.array_equal(found, expected())
    process = pool._pool._idle[0]
    with pytest.raises(AssemblyError) as caught:
        decode_apart(b"", FORMAT, RLELossless)
    assert caught.value.reason is Reason.PIXELS_TRUNCATED
    assert np.array_equal(decode_apart(stream, FORMAT, RLELossless), expected())
    assert pool._pool._idle == [process]  # one, used again


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_codec_that_dies_is_a_refusal_and_the_next_frame_is_decoded(
    stream: bytes, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pool, "_MAIN", f"{TAKEN}os.kill(os.getpid(), {int(number)})")
        with pytest.raises(AssemblyError) as caught:
            decode_apart(stream, FORMAT, RLELossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE
    assert number.name in caught.value.sentence
    assert "damaged" in caught.value.sentence
    assert np.array_equal(decode_apart(stream, FORMAT, RLELossless), expected())


def test_one_that_is_ended_from_outside_is_no_fault_of_the_stream(
    stream: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once: the frame is decoded by another. Twice: the series can be tried again."""
    once = f"{TAKEN}os.kill(os.getpid(), 9)"
    with monkeypatch.context() as patched:
        patched.setattr(pool, "_MAIN", once)
        with pytest.raises(TooLittleMemory):
            decode_apart(stream, FORMAT, RLELossless)
    decoding.prepare()
    os.kill(pool._pool._idle[0]._process.pid, signal.SIGKILL)
    assert np.array_equal(decode_apart(stream, FORMAT, RLELossless), expected())


def test_a_codec_that_hangs_is_ended(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system, as a decoder asks for; and by who asked, should it not even do that."""
    monkeypatch.setattr(pool, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(child, "LONGEST_FRAME_SECONDS", 0)
    monkeypatch.setattr(pool, "_MAIN", "import time; time.sleep(600)")
    began = time.monotonic()
    with pytest.raises(AssemblyError) as caught:
        decode_apart(stream, FORMAT, RLELossless)
    assert caught.value.reason is Reason.PIXELS_UNREADABLE
    assert "took longer" in caught.value.sentence
    assert time.monotonic() - began < 10
    alarmed = f"{TAKEN}import signal, time; signal.alarm(1); time.sleep(600)"
    monkeypatch.setattr(pool, "_MAIN", alarmed)
    monkeypatch.setattr(pool, "_GRACE_SECONDS", 20)
    with pytest.raises(AssemblyError) as caught:
        decode_apart(stream, FORMAT, RLELossless)
    assert "took longer" in caught.value.sentence


def test_a_forked_process_has_a_decoder_of_its_own(stream: bytes) -> None:
    decode_apart(stream, FORMAT, RLELossless)
    parents = pool._pool._idle[0]
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            found = decode_apart(stream, FORMAT, RLELossless)
            own = pool._pool._idle[0]
            code = 0 if own is not parents and np.array_equal(found, expected()) else 2
            own.end()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert np.array_equal(decode_apart(stream, FORMAT, RLELossless), expected())
    assert pool._pool._idle == [parents]


def test_threads_do_not_wait_for_each_other(stream: bytes) -> None:
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(decode_apart(stream, FORMAT, RLELossless)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 3
    assert all(np.array_equal(one, expected()) for one in found)


def test_a_codec_that_takes_too_much_is_a_refusal(
    stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object) -> np.ndarray:
        return np.ones(1 << 28, np.uint8)

    pid = os.fork()
    if pid == 0:  # as a decoder, which limits itself
        code = 1
        try:
            monkeypatch.setattr(child, "compressed_frame", greedy)
            answer, values = _decoded(Task(FORMAT, RLELossless, 64 << 20), stream)
            code = 0 if answer.reason is Reason.PIXELS_UNREADABLE and not values else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_refusal_names_the_instance_and_costs_its_series_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Phantom(size=(48, 40, 3)).instances()
    for one in made:
        one.ensure_file_meta()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.compress(RLELossless, generate_instance_uid=False)
    save(made, tmp_path / "in", RLELossless)
    (series,) = read_folder([tmp_path / "in"])[0]
    deadly = series.instances[1].uid
    plain = pool._Decoder.decode

    def decode(self: pool._Decoder, frame: bytes, task: Task) -> np.ndarray:
        seen.append(1)
        if len(seen) == 2:
            os.kill(self._process.pid, signal.SIGSEGV)
        return plain(self, frame, task)

    seen: list[int] = []
    monkeypatch.setattr(pool._Decoder, "decode", decode)
    (refusal,) = convert_series(series.instances, tmp_path / "out", "v").refusals
    assert refusal.reason is Reason.PIXELS_UNREADABLE
    assert refusal.instances == (deadly,)
    monkeypatch.undo()
    assert convert_series(series.instances, tmp_path / "out", "v").products
