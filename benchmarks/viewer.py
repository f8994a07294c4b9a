"""Scrolling on the page: how many slices a second a browser paints of a CT of 512 x 512 x 600.

    python -m benchmarks.viewer [--slices 600] [--steps 120]

A node gets the CT over a socket. A headless Chromium without a graphics card opens the page of the
series and goes from slice to slice; each next one is asked for once the one before is painted, so
that none is left out. The aim is 20 a second. Needs chromium.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import psutil
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.dimse.scu.requests import Destination, send
from tests.browser import Browser
from tests.running import TITLE, RunningNode, eventually, free_port
from tests.small import small_ct

AIM: Final = 20.0
_SIDE: Final = 512
_READY_SECONDS: Final = 900.0
_STEP: Final = """
(async () => {
  const plane = document.querySelector('.plane[data-plane="%s"]');
  const canvas = plane.querySelector('canvas');
  const frame = () => new Promise(requestAnimationFrame);
  const painted = async () => { do await frame(); while (plane.classList.contains('pending')); };
  canvas.focus();
  await painted();
  const began = performance.now();
  const first = plane.querySelector('output').textContent;
  for (let step = 0; step < %d; step += 1) {
    canvas.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowUp', bubbles: true }));
    await painted();
  }
  if (first === plane.querySelector('output').textContent) throw new Error('nothing has moved');
  return %d / (performance.now() - began) * 1000;
})()
"""


def main() -> None:
    """Fill a node and scroll."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served(Path(name), options.slices) as address:
        node, page = address
        before = memory(node)
        with Browser(Path(name, "profile"), (1500, 1100)) as browser:
            browser.open(page)
            browser.until("document.querySelectorAll('.plane').length === 3", 120)
            browser.until("!document.querySelector('.plane.pending')", 120)
            for planes in ("all planes", "one plane"):
                for plane in ("axial", "coronal", "sagittal"):
                    shown = plane if planes == "one plane" else "All planes"
                    browser.run(
                        "[...document.querySelectorAll('.controls button')]"
                        f".find((one) => one.textContent === '{shown}').click()"
                    )
                    speed = browser.run(_STEP % (plane, options.steps, options.steps))
                    verdict = "" if speed >= AIM else f"  below {AIM:.0f}"
                    print(f"{planes:11} {plane:9} {speed:6.1f} slices/s{verdict}", flush=True)
            print(f"the node's processes hold {(memory(node) - before) >> 20} MiB more")


@contextmanager
def served(folder: Path, slices: int) -> Iterator[tuple[RunningNode, str]]:
    """A node with the CT, and the URL of its page."""
    port = free_port()
    node = RunningNode(folder, {"http": {"port": port}, "completion": {"quiet_seconds": 1}})
    try:
        node.start()
        uid = fill(folder, node.port, slices)
        base = f"http://127.0.0.1:{port}"
        eventually(
            lambda: (
                httpx.get(f"{base}/api/series/{uid}", timeout=60).json().get("state") == "ready"
            ),
            _READY_SECONDS,
            "the CT is a volume",
        )
        yield node, f"{base}/series/{uid}"
    finally:
        node.kill()


def fill(folder: Path, port: int, slices: int) -> str:
    """Send a CT with noise, which compresses as badly as a real one; returns its UID."""
    import pydicom  # noqa: PLC0415

    rng = np.random.default_rng(1)
    data_sets: list[Dataset] = []
    noise = rng.integers(0, 200, (slices + _SIDE, _SIDE), dtype=np.int16)
    across = np.arange(_SIDE, dtype=np.int16)
    for number, path in enumerate(small_ct(folder / "in", slices, announced=True)):
        image = pydicom.dcmread(path)
        image.Rows = image.Columns = _SIDE
        image.PixelData = (noise[number : number + _SIDE] + across + number).tobytes()
        data_sets.append(image)
    contexts = {(str(CTImageStorage), str(ExplicitVRLittleEndian))}
    send(Destination("127.0.0.1", port, TITLE, "BENCHMARK"), data_sets, contexts)
    return str(data_sets[0].SeriesInstanceUID)


def memory(node: RunningNode) -> int:
    """Bytes that the node and its children hold, shared pages by share, without those of files."""
    assert node.process is not None
    total = 0
    process = psutil.Process(node.process.pid)
    for one in (process, *process.children(recursive=True)):
        rollup = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
        total += sum(
            int(line.split()[1]) << 10 for line in rollup.splitlines() if "Pss_Anon" in line
        )
    return total


if __name__ == "__main__":
    main()
