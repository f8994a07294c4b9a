"""`rasnode pull --rate` holds although the archive is behind: what is answered counts, too."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.instances import renewed, series, write
from tests.running import RunningNode, free_port

STUDIES = 5
SIDE = 724  # one image of about 1 MiB a study


def ingester_of(node: RunningNode) -> int:
    """The process of a node's ingester."""
    assert node.process is not None
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text()
    names = {int(pid): Path(f"/proc/{pid}/comm").read_text().strip() for pid in children.split()}
    (pid,) = [pid for pid, name in names.items() if name == "rasnode-ingest"]
    return pid


@contextmanager
def halting(pid: int) -> Iterator[None]:
    """Within the block a process works a tenth of the time, as on a busy machine."""
    over = threading.Event()

    def halt() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(0.9)
            os.kill(pid, signal.SIGCONT)
            over.wait(0.1)

    thread = threading.Thread(target=halt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.timeout(120)
def test_a_rate_of_bytes_holds_while_the_ingester_is_behind(tmp_path: Path) -> None:
    ports = {"PACS": free_port(), "NODE": free_port()}
    nodes = {}
    for title, other in (("PACS", "NODE"), ("NODE", "PACS")):
        (tmp_path / title).mkdir()
        peer = {"name": "other", "ae_title": other, "host": "127.0.0.1", "port": ports[other]}
        dicom = {"host": "127.0.0.1", "port": ports[title], "ae_title": title, "peers": [peer]}
        nodes[title] = RunningNode(tmp_path / title, {"dicom": dicom})
    pacs, node = nodes["PACS"], nodes["NODE"]
    images = series(1, SIDE)
    listed = ["StudyInstanceUID"]
    for number in range(STUDIES):
        renewed(images)
        listed.append(str(images[0].StudyInstanceUID))
        write(images, tmp_path / "studies" / str(number))
    (tmp_path / "list.csv").write_text("\n".join(listed) + "\n")
    try:
        pacs.start()
        node.start()
        pacs.rasnode("import", str(tmp_path / "studies"))
        with halting(ingester_of(node)):
            pulling = ("pull", "other", "--list", str(tmp_path / "list.csv"), "--parallel", "1")
            node.rasnode(*pulling, "--rate", "1 MiB/s")
        with closing(sqlite3.connect(node.root / "index.db")) as index:
            moments = [moment for (moment,) in index.execute("SELECT received_at FROM instance")]
    finally:
        node.kill()
        pacs.kill()
    assert len(moments) == STUDIES
    assert max(moments) - min(moments) >= 0.8 * (STUDIES - 1)
