"""`python -m tests.simulator.scanner`: many worlds, or one explained."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict

from tests.simulator.scanner.explaining import explain
from tests.simulator.scanner.running import Tally, run_many
from tests.simulator.scanner.worlds import make_world

_SHOWN = 12


def main() -> int:
    """Run worlds and print counts; 1 if any is silently wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator.scanner")
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--explain", type=int, metavar="SEED", help="print a world and its plan")
    wanted = parser.parse_args()
    if wanted.explain is not None:
        print(explain(wanted.explain))
        return 0
    tally = run_many(wanted.seed, wanted.worlds, wanted.processes)
    _print(tally)
    return 1 if tally.wrong else 0


def _print(tally: Tally) -> None:
    print(f"worlds                  {tally.worlds}, of which defined {tally.defined}")
    print(f"right                   {tally.right}")
    for reason, count in tally.refusals.most_common():
        print(f"refused                 {count:6d}  {reason}")
    print(f"refused though defined  {len(tally.overcautious)} ({tally.caution:.2%})")
    for name, seeds in _grouped(tally.overcautious).items():
        print(f"    {len(seeds):6d}  {name}: {_some(seeds)}")
    print(f"silently wrong          {len(tally.wrong)}")
    wrong = {
        seed: f"{make_world(seed).kind}: {complaints[0].split(':')[0]}"
        for seed, complaints in tally.wrong.items()
    }
    for name, seeds in _grouped(wrong).items():
        print(f"    {len(seeds):6d}  {name}: {_some(seeds)}")
    if tally.wrong:
        print("seeds of what is silently wrong:", *sorted(tally.wrong))


def _grouped(names: dict[int, str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for seed, name in sorted(names.items()):
        found[name].append(seed)
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1])))


def _some(seeds: list[int]) -> str:
    more = "" if len(seeds) <= _SHOWN else " …"
    return " ".join(map(str, seeds[:_SHOWN])) + more


if __name__ == "__main__":
    sys.exit(main())
