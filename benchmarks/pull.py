"""How fast studies are fetched from a PACS: `rasnode pull` beside DCMTK's movescu.

    python -m benchmarks.pull --studies 60

Orthanc is the PACS. Both have it send to a node, each to one of its own, with the same number of
retrieves at once: movescu in so many processes that each take the next study from a list. They
fetch by turns, in several rounds, and the other one's node is stopped meanwhile. What counts is the
time until the node has everything, which movescu alone would not tell. The images have no geometry,
so that no node converts them: a study that was pulled is proven complete and would be converted at
once, one that movescu has fetched only after `quiet_seconds`. With `--volumes` they have, and what
counts is the time until the last volume is there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Final

import yaml

from benchmarks.instances import encoded, renewed, series
from benchmarks.sender import send
from benchmarks.servers import ORTHANC, _free_port, _server
from node.deliver.published_files import MANIFEST
from node.storage.index.engine import Index
from node.storage.index.search.listing import Listing

TITLE: Final = {"rasnode": "PULLED", "movescu": "MOVED"}
RASNODE: Final = (sys.executable, "-m", "node")
MOVESCU: Final = "/usr/bin/movescu"
WARM_SECONDS: Final = 4.0
"""Until a node that has just been started rests."""


@contextmanager
def pacs(folder: Path, ports: dict[str, int]) -> Iterator[int]:
    """Orthanc, which knows both nodes; yields its port."""
    port = _free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "HttpServerEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        "ConcurrentJobs": 8,
        "DicomModalities": {name: [TITLE[name], "127.0.0.1", at] for name, at in ports.items()},
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings))
    with _server([str(ORTHANC), str(config)], folder / "log", port, {"TCP_NODELAY": "1"}):
        yield port


def node_config(folder: Path, title: str, port: int, pacs_port: int) -> Path:
    """The configuration of one of the nodes."""
    peer = {"name": "pacs", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": pacs_port}
    config = folder / "config.yaml"
    settings = {
        "dicom": {"host": "127.0.0.1", "port": port, "ae_title": title, "peers": [peer]},
        "storage": {"root": str(folder), "minimum_free": 0},
        "http": {"port": None},
    }
    config.write_text(yaml.safe_dump(settings))
    return config


@contextmanager
def rested_node(folder: Path, config: Path, port: int) -> Iterator[None]:
    """A node that has come to rest after its start."""
    with _server([*RASNODE, "serve", "-c", str(config)], folder / "node.log", port):
        os.sync()
        time.sleep(WARM_SECONDS)
        yield


def until_converted(folder: Path, count: int) -> None:
    """Return when a node has published so many volumes."""
    while len(list((folder / "nifti").glob("[!.]*/**/*" + MANIFEST))) < count:
        time.sleep(0.05)


def until_held(folder: Path, count: int) -> None:
    """Return when a node has so many instances."""
    index = Index(f"sqlite:///{folder / 'index.db'}")
    try:
        while Listing(index).totals()["instances"] < count:
            time.sleep(0.05)
    finally:
        index.close()


def by_movescu(port: int, studies: list[str], parallel: int) -> None:
    """Have movescu fetch all studies, several at once."""
    waiting: Queue[str] = Queue()
    for uid in studies:
        waiting.put(uid)

    def work() -> None:
        while True:
            try:
                uid = waiting.get_nowait()
            except Empty:
                return
            command = [
                *(MOVESCU, "-S", "-aec", "ORTHANC", "-aet", TITLE["movescu"]),
                *("-aem", TITLE["movescu"], "-k", "QueryRetrieveLevel=STUDY"),
                *("-k", f"StudyInstanceUID={uid}", "127.0.0.1", str(port)),
            ]
            subprocess.run(command, check=True, capture_output=True, timeout=600)

    threads = [threading.Thread(target=work) for _ in range(parallel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_pull(config: Path, studies: list[str], parallel: int) -> None:
    """Have the node fetch them."""
    listed = config.parent / "list.csv"
    listed.write_text("\n".join(["StudyInstanceUID", *studies]) + "\n")
    options = ["--list", str(listed), "--parallel", str(parallel), "-c", str(config)]
    subprocess.run(
        [*RASNODE, "pull", "pacs", *options], check=True, capture_output=True, timeout=3600
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4, help="among which the studies are divided")
    parser.add_argument("--volumes", action="store_true", help="measure until they are converted")
    options = parser.parse_args()
    if ORTHANC is None or not Path(MOVESCU).exists():
        raise SystemExit("this needs Orthanc and DCMTK: apt-get install orthanc dcmtk")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {name: _free_port() for name in TITLE}
        places = {name: folder / name for name in (*TITLE, "pacs")}
        for place in places.values():
            place.mkdir()
        pacs_port = stack.enter_context(pacs(places["pacs"], ports))
        images = series(options.slices, options.side)
        if not options.volumes:
            for image in images:
                del image.ImagePositionPatient, image.ImageOrientationPatient
        studies = []
        for _ in range(options.studies):
            renewed(images)
            studies.append(str(images[0].StudyInstanceUID))
            send(pacs_port, "ORTHANC", [encoded(images)])
        turns = [studies[number :: options.rounds] for number in range(options.rounds)]
        seconds = dict.fromkeys(TITLE, 0.0)
        for number, wanted in enumerate(turns):
            held = sum(map(len, turns[: number + 1]))
            for name in sorted(TITLE, reverse=bool(number % 2)):
                config = node_config(places[name], TITLE[name], ports[name], pacs_port)
                with rested_node(places[name], config, ports[name]):
                    began = time.perf_counter()
                    if name == "movescu":
                        by_movescu(pacs_port, wanted, options.parallel)
                    else:
                        by_pull(config, wanted, options.parallel)
                    until_held(places[name], held * options.slices)
                    if options.volumes:
                        until_converted(places[name], held)
                    took = time.perf_counter() - began
                seconds[name] += took
                rate = len(wanted) * options.slices / took
                print(f"{name:8} {took:7.2f} s  {rate:7.1f} instances/s", flush=True)
    print(f"rasnode takes {seconds['rasnode'] / seconds['movescu']:.2f} x the time of movescu")


if __name__ == "__main__":
    main()
