"""How soon a volume is there: from the last C-STORE response to the NIfTI, next to dcm2niix.

    python -m benchmarks.turnaround --picture docs/pictures/turnaround.svg

A CT of 512 × 512 × 300, as fast as the node takes it and at 100 slices a second, and a 4D MR of
1,394 small slices are sent to a node on the loopback. dcm2niix converts the same slices from files,
with its own fast compression (`-z i`). Each is done several times in turn, and the best counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset

from benchmarks.instances import encoded, renewed, series, write
from benchmarks.picture import Bars, draw
from benchmarks.sender import send
from benchmarks.servers import is_worker, processes_of, rasnode, resident
from node.cli.demo.phantom.studies import mr_study
from node.deliver.published_files import MANIFEST

DCM2NIIX: Final = Path(sys.executable).parent / "dcm2niix"
WAIT_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.005
SAMPLE_SECONDS: Final = 0.02
WARM_SECONDS: Final = 3.0
"""Until the workers of a node that has just been started are there."""

CT: Final = "CT 512×512×300"
MR: Final = "MR 64×64×34×41"
SERIES: Final[dict[str, Callable[[], Sequence[Dataset]]]] = {
    CT: lambda: series(300, 512),
    MR: lambda: mr_study(datetime.now(UTC), (64, 64, 34, 41)).data_sets,
}
CASES: Final = {CT: (CT, 0.0), f"{CT}, 100 slices/s": (CT, 0.01), MR: (MR, 0.0)}
"""Series, and seconds before each slice."""


@dataclass(frozen=True)
class Turn:
    """One series.

    Attributes:
        seconds: from the last response until image and manifest were there.
        memory: bytes that the process which made the volume had at most, beyond what is shared.
    """

    seconds: float
    memory: int


class _Peak(threading.Thread):
    """Watches the memory of the processes that make volumes."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._workers = [one for one in processes_of(process) if is_worker(one)]
        self._done = threading.Event()
        self._most = 0

    def run(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._most = max(self._most, *map(resident, self._workers))

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self._most


def node_once(
    port: int, process: int, outputs: Path, images: Sequence[Dataset], pause: float
) -> Turn:
    """Send a series, with so many seconds before each slice, and wait for its volume."""
    instances = encoded(images)
    before = _manifests(outputs)
    peak = _Peak(process)
    peak.start()
    sent = send(port, "RASNODE", [instances], pause)
    while _manifests(outputs) <= before:
        if time.monotonic() - sent.ended > WAIT_SECONDS:
            raise SystemExit("the volume does not come")
        time.sleep(LOOK_SECONDS)
    return Turn(time.monotonic() - sent.ended, peak.stop())


def _manifests(outputs: Path) -> set[Path]:
    """Those that readers see: the staging folder is a hidden one."""
    return set(outputs.glob("[!.]*/**/*" + MANIFEST))


def dcm2niix_once(folder: Path) -> float:
    """The whole run of dcm2niix on files that are in the page cache."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        started = time.monotonic()
        subprocess.run(
            [str(DCM2NIIX), "-z", "i", "-b", "y", "-f", "v", "-o", out, str(folder)],
            check=True,
            capture_output=True,
        )
        seconds = time.monotonic() - started
        if not list(Path(out).glob("*.nii.gz")):
            raise SystemExit("dcm2niix made no .nii.gz")
    return seconds


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, as it is printed and written with `--json`."""
    results: dict[str, Any] = {}
    root = folder / "node"
    root.mkdir()
    with rasnode(root) as (port, process):
        time.sleep(WARM_SECONDS)
        for number, (name, (made, pause)) in enumerate(CASES.items()):
            images = SERIES[made]()
            # Nothing is deleted on the way: some file systems make new files slowly after that.
            files = folder / f"files-{number}"
            write(images, files)
            size = sum(len(image.PixelData) for image in images)
            turns, others = [], []
            for _ in range(options.repeat):
                renewed(images)
                turns.append(node_once(port, process, root / "nifti", images, pause))
                others.append(dcm2niix_once(files))
            best = min(turns, key=lambda turn: turn.seconds)
            results[name] = {
                "rasnode s": round(best.seconds, 2),
                "dcm2niix s": round(min(others), 2),
                "ratio": round(best.seconds / min(others), 2),
                "peak MB": round(max(turn.memory for turn in turns) / 1e6),
                "allowed MB": round(1.3 * size / 1e6 + 100),
                "volume MB": round(size / 1e6),
            }
            print(name, results[name], flush=True)
    return results


def picture(results: dict[str, Any]) -> list[Bars]:
    """What is drawn: seconds of either."""
    groups = []
    for name, found in results.items():
        bars = [
            ("rasnode", found["rasnode s"], f"{found['rasnode s']:.2f} s"),
            ("dcm2niix -z i", found["dcm2niix s"], f"{found['dcm2niix s']:.2f} s"),
        ]
        groups.append(Bars(f"{name}: .nii.gz after the last response; a run of dcm2niix", bars))
    return groups


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeat", type=int, default=3, help="times; the best one counts")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--picture", type=Path, help="draw them into this SVG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rasnode-turnaround.") as folder:
        results = measure(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, ensure_ascii=False))
    if options.picture:
        draw(options.picture, "Seconds to a volume", picture(results))


if __name__ == "__main__":
    main()
