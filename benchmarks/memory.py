"""Whether memory and descriptors stay flat: one huge series, and a week of associations.

    python -m benchmarks.memory --picture docs/pictures/memory.svg

A series of 10,000 slices comes in on one association; then a week's worth of short associations
as fast as they go, each with one instance. Memory is what each process has for itself, summed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.instances import encoded, renewed, series
from benchmarks.picture import Bars, draw
from benchmarks.sender import send
from benchmarks.servers import descriptors, processes_of, rasnode, resident

SIDE: Final = 64
SLICES: Final = 10_000
WEEK: Final = 7 * 24 * 30
"""Associations: one every two minutes."""
AT_ONCE: Final = 30
WARM: Final = 120
SETTLE_SECONDS: Final = 8.0


def state(process: int) -> tuple[int, int]:
    """Bytes of memory and open descriptors of all processes of a node."""
    family = processes_of(process)
    return sum(map(resident, family)), sum(map(descriptors, family))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, as it is printed and written with `--json`."""
    results: dict[str, Any] = {}

    def note(name: str, process: int) -> None:
        memory, opened = state(process)
        results[name] = {"MB": round(memory / 1e6), "descriptors": opened}
        print(name, results[name], flush=True)

    with rasnode(folder, max_associations=AT_ONCE * 2) as (port, process):
        images = series(AT_ONCE, SIDE)
        for _ in range(WARM // AT_ONCE):
            short(port, images)
        time.sleep(SETTLE_SECONDS)
        note("warm", process)
        send(port, "RASNODE", [encoded(series(options.slices, SIDE))])
        note(f"{options.slices} slices received", process)
        while not list((folder / "nifti").glob("[!.]*/**/0001_CT_Benchmark*.nii.gz")):
            time.sleep(1)
        time.sleep(SETTLE_SECONDS)
        note(f"{options.slices} slices, settled", process)
        for done in range(0, options.associations, AT_ONCE):
            short(port, images)
            if (done // AT_ONCE) % max(1, options.associations // AT_ONCE // 4) == 0:
                note(f"{done + AT_ONCE} associations", process)
        time.sleep(SETTLE_SECONDS)
        note("all of them, settled", process)
    return results


def short(port: int, images: list[Any]) -> None:
    """Many short associations at once, each with an instance of its own."""
    renewed(images)
    send(port, "RASNODE", [[instance] for instance in encoded(images)])


def picture(results: dict[str, Any]) -> list[Bars]:
    """What is drawn: memory and descriptors at each step."""
    return [
        Bars(
            "memory of all processes", [(k, v["MB"], f"{v['MB']} MB") for k, v in results.items()]
        ),
        Bars(
            "descriptors",
            [(k, v["descriptors"], str(v["descriptors"])) for k, v in results.items()],
        ),
    ]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--associations", type=int, default=WEEK)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--picture", type=Path, help="draw them into this SVG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rasnode-memory.") as folder:
        results = measure(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.picture:
        draw(options.picture, "Memory and descriptors", picture(results))


if __name__ == "__main__":
    main()
