"""How long `rasnode import` takes next to DCMTK's dcmsend, for the same files, beside a node.

    python -m benchmarks.importing

Both take turns, each with a node of its own, and files that it has not seen. What matters is the
ratio of one run; each one's best round counts.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.instances import series, write
from benchmarks.servers import rasnode

DCMSEND: Final = shutil.which("dcmsend", path="/usr/bin")
CASES: Final = {"512 KiB": (512, 2000), "20 KiB": (101, 4000)}
"""Rows and columns of 16-bit slices, and how many files."""
_PATTERNS: Final = 20  # slices that are made; the others differ in their UIDs


def fill(folder: Path, side: int, count: int) -> None:
    """A folder with `count` files in series of twenty."""
    images = series(_PATTERNS, side)
    write(images, folder / "pattern")
    patterns = [path.read_bytes() for path in sorted((folder / "pattern").iterdir())]
    shutil.rmtree(folder / "pattern")
    for number in range(count // _PATTERNS):
        here = folder / f"{number:04d}"
        here.mkdir()
        for place, (image, pattern) in enumerate(zip(images, patterns, strict=True)):
            content = pattern
            for uid in (image.SOPInstanceUID, image.SeriesInstanceUID, image.StudyInstanceUID):
                other = f"{uid[:-6]}{number:06d}"
                content = content.replace(uid.encode(), other.encode())
            (here / f"{place}.dcm").write_bytes(content)


def timed(command: Sequence[str]) -> float:
    """Seconds that a command takes, which has to succeed."""
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--share", type=int, default=1, help="of the files, 1 in so many")
    options = parser.parse_args()
    if DCMSEND is None:
        raise SystemExit("needs dcmsend of DCMTK")
    for name, (side, count) in CASES.items():
        best = {"dcmsend": float("inf"), "import": float("inf")}
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
            ports = {}
            for who in best:
                place = Path(temporary) / who
                place.mkdir()
                ports[who], _ = stack.enter_context(rasnode(place))
            for turn in range(options.rounds):
                for who in sorted(best, reverse=bool(turn % 2)):
                    files = Path(temporary) / "files"
                    files.mkdir()
                    fill(files, side, count // options.share)
                    config = str(Path(temporary) / who / "config.yaml")
                    took = timed(
                        [DCMSEND, "-aec", "RASNODE", "+sd", "+r", "127.0.0.1", str(ports[who]),
                         str(files)]
                        if who == "dcmsend"
                        else [sys.executable, "-m", "node", "import", str(files), "-c", config]
                    )  # fmt: skip
                    best[who] = min(best[who], took)
                    shutil.rmtree(files)
                    print(f"{name}: {who} {took:.2f} s", file=sys.stderr)
        ratio = best["import"] / best["dcmsend"]
        print(
            f"{count // options.share} × {name}: dcmsend {best['dcmsend']:.2f} s, "
            f"import {best['import']:.2f} s, {ratio:.2f} × as long"
        )


if __name__ == "__main__":
    main()
