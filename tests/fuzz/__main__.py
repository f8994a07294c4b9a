"""Fuzz for as long as wanted: `python -m tests.fuzz --cases 100000 --seed 7`."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import DECODERS, a_node, run
from tests.fuzz.test_fuzz import descriptors, good
from tests.running import RunningNode

IN_TWENTY = 20
"""One case in so many goes to a running node."""


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        node = RunningNode(Path(folder)).start()
        try:
            live = a_node(node.port)
            before = descriptors(node)
            for number in range(options.cases):
                targets = DECODERS if number % IN_TWENTY else (live,)
                run(targets[number % len(targets)], options.seed, number)
            good(node.port)
            time.sleep(3)
            after = descriptors(node)
            held = len(node.instances())
            code = node.terminate()
        finally:
            node.kill()
    print(
        f"seed {options.seed}: {options.cases} cases in {time.monotonic() - started:.0f} s; "
        f"descriptors {before} -> {after}, {held} instances kept, exit code {code}"
    )


if __name__ == "__main__":
    main()
