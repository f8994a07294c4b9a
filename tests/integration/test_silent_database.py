"""A PostgreSQL server that goes silent under a running node, as at a fail-over without RST."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.databases import postgresql
from tests.running import TITLE, RunningNode, dcmtk, eventually, free_port
from tests.silence import BLACKHOLE_SECONDS, Network
from tests.small import small_ct

HEALTH_SECONDS = 10  # in which /health has to say what is wrong
BACK_SECONDS = 15  # in which filing has to go on once the server is back


def health(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=HEALTH_SECONDS) as answer:
            return answer.status, json.load(answer)["faults"]
    except HTTPError as error:
        return error.code, json.load(error)["faults"]


def found(node: RunningNode) -> str:
    """What findscu says about a query for all studies."""
    command = [dcmtk("findscu"), "-v", "-S", "-aec", TITLE, "-k", "QueryRetrieveLevel=STUDY"]
    run = subprocess.run(
        [*command, "-k", "StudyInstanceUID", "127.0.0.1", str(node.port)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return run.stdout + run.stderr


def test_a_silent_database_is_named_and_what_came_meanwhile_is_filed_afterwards(
    tmp_path: Path,
) -> None:
    with postgresql(tmp_path) as url:
        server = url.rpartition(":")[2].partition("/")[0]
        network = Network(int(server))
        page = free_port()
        node = RunningNode(
            tmp_path,
            {
                "database": {"url": url.replace(f":{server}/", f":{network.port}/")},
                "completion": {"quiet_seconds": 0.4},
                "http": {"port": page},
            },
        ).start()
        try:
            node.send(*small_ct(tmp_path / "before", 8, announced=True))
            node.settle(60, states=["ready"])
            assert health(page) == (200, {})
            assert "Pending" in found(node)
            time.sleep(2)  # a finding is used again for so long

            network.fall_silent()
            silent = time.monotonic()
            node.send(*small_ct(tmp_path / "during", 8, announced=True))  # answered 0x0000
            with ThreadPoolExecutor(1) as aside:
                query = aside.submit(found, node)
                code, faults = health(page)
                assert time.monotonic() - silent < HEALTH_SECONDS
                assert code == 503
                assert "answer" in faults["index"]  # which wait ends first is chance
                assert "OutOfResources" in query.result()
            time.sleep(max(0.0, silent + BLACKHOLE_SECONDS - time.monotonic()))

            network.come_back()
            eventually(lambda: len(node.instances()) == 16, BACK_SECONDS, "filing goes on")
            node.settle(30, states=["ready"])
            eventually(lambda: health(page) == (200, {}), HEALTH_SECONDS, "all is well again")
            assert node.terminate() == 0
        finally:
            node.kill()
            network.close()
