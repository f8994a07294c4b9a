"""Processors are kept awake while requests follow each other, and no longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.core.system.cpu_latency import DEVICE, CpuLatency


def held(path: Path) -> int:
    """How often this process has a file open."""
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
    return sum(link.resolve() == path for link in links if link.is_symlink())


def test_it_asks_for_no_delay_and_lets_go(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    awake = CpuLatency(wanted=True, device=str(device))
    assert (awake.kept, held(device)) == (False, 0)
    awake.keep()
    awake.keep()
    assert (awake.kept, held(device)) == (True, 1)
    assert device.read_bytes() == bytes(4)
    awake.let_go()
    awake.let_go()
    assert (awake.kept, held(device)) == (False, 0)
    awake.keep()
    assert awake.kept
    awake.let_go()


def test_nobody_wants_it(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    awake = CpuLatency(wanted=False, device=str(device))
    awake.keep()
    assert (awake.kept, held(device)) == (False, 0)


def test_a_system_that_does_not_let_us_is_asked_once(tmp_path: Path) -> None:
    device = tmp_path / "device"
    awake = CpuLatency(wanted=True, device=str(device))
    awake.keep()
    assert not awake.kept
    device.touch()
    awake.keep()
    assert not awake.kept


def test_the_kernel_understands_it() -> None:
    if not os.access(DEVICE, os.W_OK):
        pytest.skip(f"needs the right to write to {DEVICE}")
    awake = CpuLatency(wanted=True)
    awake.keep()
    assert awake.kept
    awake.let_go()
