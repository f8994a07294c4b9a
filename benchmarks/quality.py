"""How soon motion, tSNR and spikes of a functional run are known: after its last C-STORE response.

    python -m benchmarks.quality

A run of 64 × 64 × 36 voxels and 300 volumes is sent to a node on the loopback: as fast as the node
takes it, and with --pace as a scanner sends it, one volume after the other. `.quality.json` is
published with the volume, just before `ready` is delivered with the same figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset

from benchmarks.instances import encoded, renewed
from benchmarks.sender import send
from benchmarks.servers import rasnode
from node.cli.demo.phantom.studies import mr_study
from node.convert.quality import QUALITY

SHAPE: Final = (64, 64, 36, 300)
LIMIT_SECONDS: Final = 10.0
"""What docs/checks.md promises for a run of this size."""
WAIT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.01
WARM_SECONDS: Final = 3.0


def once(port: int, outputs: Path, images: Sequence[Dataset], pause: float) -> dict[str, Any]:
    """Send the run, with so many seconds before each slice, and wait for its figures."""
    instances = encoded(images)
    before = _figures(outputs)
    sent = send(port, "RASNODE", [instances], pause)
    while not (new := _figures(outputs) - before):
        if time.monotonic() - sent.ended > WAIT_SECONDS:
            raise SystemExit("the figures do not come")
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - sent.ended
    (path,) = new
    found = json.loads(path.read_bytes())
    return {
        "seconds": round(seconds, 2),
        "limit": LIMIT_SECONDS,
        "volumes": found["volumes"],
        "largest displacement, mm": found["motion"]["framewise_displacement"]["max_mm"],
        "median tSNR": found["tsnr"]["median"],
    }


def _figures(outputs: Path) -> set[Path]:
    """Those that readers see: the staging folder is a hidden one."""
    return set(outputs.glob("[!.]*/**/*" + QUALITY))


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeat", type=int, default=3, help="times; each one is printed")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds before each slice")
    options = parser.parse_args()
    images = mr_study(datetime.now(UTC), SHAPE).data_sets
    with tempfile.TemporaryDirectory(prefix="rasnode-quality.") as folder:
        root = Path(folder)
        with rasnode(root) as (port, _):
            time.sleep(WARM_SECONDS)
            for _ in range(options.repeat):
                renewed(images)
                print(once(port, root / "nifti", images, options.pace), flush=True)


if __name__ == "__main__":
    main()
