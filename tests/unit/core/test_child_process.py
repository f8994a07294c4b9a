"""Copies of a process: what they have of it, and what is known of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.core.system.child_process import ForkedProcess


def test_a_copy_has_what_it_was_given_and_nothing_else() -> None:
    lock, kept = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)

    def say() -> None:
        name = Path("/proc/self/comm").read_text().strip()
        open_ones = [number for number in range(3, 256) if Path(f"/proc/self/fd/{number}").exists()]
        os.write(1, f"{name} {os.read(0, 5).decode()} {open_ones}".encode())

    copy = ForkedProcess("a-name", say, [kept])
    assert copy.stdin is not None
    copy.stdin.write(b"heard")
    copy.stdin.close()
    with copy.stdout as output:
        assert output.read().decode() == f"a-name heard [{kept}]"
    assert copy.wait(10) == 0
    os.close(lock)
    os.close(kept)


def test_a_copy_reads_from_a_pipe_of_the_originals() -> None:
    read_end, write_end = os.pipe()
    copy = ForkedProcess("a-name", lambda: os._exit(7 if os.read(0, 1) else 8), stdin=read_end)
    assert copy.stdin is None
    assert copy.poll() is None
    os.close(write_end)  # the last end that is open, or it would not come to an end
    try:
        assert copy.wait(10) == 8
    finally:
        copy.kill()
        os.close(read_end)
        copy.stdout.close()


def test_a_copy_that_fails_says_so_by_its_code(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError

    copy = ForkedProcess("a-name", fail)
    assert copy.stdin is not None
    assert copy.wait(10) == 1
    copy.stdin.close()
    copy.stdout.close()
    assert not caplog.records  # it has gone on nowhere but in the copy
