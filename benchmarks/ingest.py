"""How fast instances are taken in: the node next to DCMTK's storescp, Orthanc and pynetdicom.

    python -m benchmarks.ingest --picture docs/pictures/ingest.svg

Everything runs on the loopback, in a temporary folder. The servers are asked in turn, several
times, and each one's best round counts: other work on the machine only ever slows things down.
What matters are the ratios of one run. The node answers when an instance is on stable storage;
the others do not sync at all. For the fast sender DCMTK and Orthanc run with TCP_NODELAY=1, or
they would answer 22 requests a second; the stock sender meets them as they come. DCMTK's storescp
serves one association after the other, unless it is told to fork: both are asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset

from benchmarks.instances import Instance, encoded, series, write
from benchmarks.picture import Bars, draw
from benchmarks.sender import Sent, send
from benchmarks.servers import (
    ORTHANC,
    STORESCP,
    STORESCU,
    orthanc,
    pynetdicom_app,
    rasnode,
    storescp,
)
from node.dimse.upper_layer.messages import C_ECHO_RQ
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, Requestor

SIDES: Final = {"512 KiB": 512, "20 KiB": 101}
"""Rows and columns of 16-bit slices."""
COUNTS: Final = {"512 KiB": 240, "20 KiB": 1200}
"""Instances a round."""
ASSOCIATIONS: Final = (1, 4)
NAGLE: Final = 40
"""Instances for the sender that stalls."""
SLOW: Final = 4
"""The slow ones get so many times fewer instances."""
REST_SECONDS: Final = 1.0

CASES: Final = tuple((size, count) for size in SIDES for count in ASSOCIATIONS)


class Contestant:
    """A server under test.

    Args:
        share: of the instances, so that slow ones do not take for ever.
    """

    def __init__(self, name: str, called: str, port: int, share: int = 1) -> None:
        self.name = name
        self.called = called
        self.port = port
        self.share = share


@contextmanager
def contestants(folder: Path, processes: int, *, prompt: bool) -> Iterator[list[Contestant]]:
    """All servers that are there, running. `prompt`: DCMTK's may answer at once."""
    with ExitStack() as stack:
        places = {
            name: folder / name for name in ("rasnode", "storescp", "forking", "orthanc", "app")
        }
        for place in places.values():
            place.mkdir(parents=True)
        port, _ = stack.enter_context(rasnode(places["rasnode"], processes=processes))
        found = [Contestant("rasnode", "RASNODE", port)]
        if STORESCP:
            for name, place, fork in (
                ("DCMTK storescp", places["storescp"], False),
                ("storescp --fork", places["forking"], True),
            ):
                port = stack.enter_context(storescp(place, prompt=prompt, fork=fork))
                found.append(Contestant(name, "STORESCP", port))
        if ORTHANC:
            port = stack.enter_context(orthanc(places["orthanc"], prompt=prompt))
            found.append(Contestant("Orthanc", "ORTHANC", port, SLOW))
        port = stack.enter_context(pynetdicom_app(places["app"]))
        found.append(Contestant("pynetdicom storescp", "STORESCP", port, SLOW))
        yield found


def rounds(
    who: list[Contestant], repeat: int, once: Callable[[Contestant], Sent]
) -> dict[str, Sent]:
    """The best of several rounds, in turn."""
    best: dict[str, Sent] = {}
    for number in range(repeat):
        # Nobody is always the one who comes after the same other.
        for one in who[number % len(who) :] + who[: number % len(who)]:
            sent = once(one)
            if one.name not in best or sent.rate > best[one.name].rate:
                best[one.name] = sent
            time.sleep(REST_SECONDS)
    return best


def fast_sender(one: Contestant, size: str, associations: int) -> Sent:
    """A sender without Nagle that has everything encoded."""
    count = max(associations, COUNTS[size] // one.share)
    instances = encoded(series(count, SIDES[size]))
    shares: list[list[Instance]] = [instances[k::associations] for k in range(associations)]
    return send(one.port, one.called, shares)


def stock_sender(one: Contestant, folder: Path, size: str) -> Sent:
    """DCMTK's storescu as it comes, with Nagle's algorithm on."""
    images = series(NAGLE, SIDES[size])
    place = Path(tempfile.mkdtemp(dir=folder)) / "out"
    write(images, place)
    started = time.perf_counter()
    subprocess.run(
        [str(STORESCU), "-aec", one.called, "+sd", "127.0.0.1", str(one.port), str(place)],
        check=True,
        capture_output=True,
        timeout=600,
    )
    seconds = time.perf_counter() - started
    return Sent(seconds, time.monotonic(), NAGLE, sum(_size(image) for image in images), [])


def _size(image: Dataset) -> int:
    return len(image.PixelData)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, as it is printed and written with `--json`."""
    results: dict[str, Any] = {}
    with contestants(folder / "fast", options.processes, prompt=True) as who:
        for one in who:
            _echo(one)
        for size, associations in CASES:
            name = f"{size}, {associations} association{'s' if associations > 1 else ''}"
            send_some = partial(fast_sender, size=size, associations=associations)
            results[name] = _figures(rounds(who, options.repeat, send_some))
            _show(name, results[name])
    with contestants(folder / "stock", options.processes, prompt=False) as who:
        for size in SIDES if STORESCU else ():
            name = f"{size}, stock storescu"
            send_some = partial(stock_sender, folder=folder, size=size)
            results[name] = _figures(rounds(who, options.repeat, send_some))
            _show(name, results[name])
    return results


def _echo(one: Contestant) -> None:
    verification = "1.2.840.10008.1.1"
    where = Destination("127.0.0.1", one.port, one.called, "BENCHMARK")
    with Requestor(where, [Proposal(verification, ("1.2.840.10008.1.2",))]) as requestor:
        requestor.response(
            requestor.request(1, {"AffectedSOPClassUID": verification, "CommandField": C_ECHO_RQ})
        )


def _figures(best: dict[str, Sent]) -> dict[str, dict[str, float]]:
    ours = best["rasnode"].rate
    return {
        name: {
            "instances/s": round(sent.rate, 1),
            "MB/s": round(sent.size / sent.seconds / 1e6, 1),
            "rasnode is": round(ours / sent.rate, 2),
            **(
                {"p50 ms": round(sent.latency(0.5), 2), "p99 ms": round(sent.latency(0.99), 2)}
                if sent.latencies
                else {}
            ),
        }
        for name, sent in best.items()
    }


def _show(case: str, figures: dict[str, dict[str, float]]) -> None:
    print(case)
    for name, found in figures.items():
        latency = f"{found['p50 ms']:8.2f} {found['p99 ms']:8.2f}" if "p50 ms" in found else ""
        print(
            f"  {name:20} {found['instances/s']:8.1f}/s {found['MB/s']:8.1f} MB/s "
            f"{found['rasnode is']:6.2f}x {latency}",
            flush=True,
        )


def picture(results: dict[str, Any]) -> list[Bars]:
    """What is drawn: instances a second of every server in every case."""
    return [
        Bars(
            case,
            [
                (name, found["instances/s"], f"{found['instances/s']:,.0f}/s")
                for name, found in of.items()
            ],
        )
        for case, of in results.items()
    ]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the best one counts")
    parser.add_argument("--processes", type=int, default=1, help="dicom.processes of the node")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--picture", type=Path, help="draw them into this SVG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rasnode-ingest.") as folder:
        results = measure(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.picture:
        draw(options.picture, "Instances a second", picture(results))


if __name__ == "__main__":
    main()
