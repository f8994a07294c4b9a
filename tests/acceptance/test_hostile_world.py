"""The black-box fault checks, as far as they fit in the time that a change may take."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.running import free_port, shared

LEDGER = """
import json, os, sys
from pathlib import Path

sys.path.insert(0, {root!r})
from node.cli import context
from tests.commands import rasnode

context._SETTLE_SECONDS = 60.0  # a busy machine takes its time over hundreds of megabytes

def rows(folder, port):
    context.let_settle(Path(folder))
    os.environ["RASNODE_STORAGE__ROOT"] = folder
    listed = rasnode("ls", "--level", "instance", "--json", "-c", {config!r}, check=True)
    for line in listed.stdout.splitlines():
        one = json.loads(line)
        yield one["sop_instance_uid"], os.path.join(folder, one["path"])
"""
ROOT = Path(__file__).parents[2]
TIMING = "crash.restart"
"""Seconds from kill to service: says more about who else uses the processors."""
QUICK = {
    "crash": ["--rounds", "2"],
    "term": [],
    "order": [],
    "eio": [],
    "disk": [],
    "dup": [],
    "hygiene": [],
    "data": ["--bomb-mb", "256", "--only", "!sequence*,!nest*,!UID*"],
    "net": ["--only", "!slow-loris,!flood*,!leak,!data-endless"],
}


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.parametrize("check", QUICK)
def test_faultcheck(tmp_path: Path, check: str) -> None:
    place = tmp_path / "checks"
    shutil.copytree(shared("checks"), place)
    (place / "run").mkdir(exist_ok=True)
    config, ledger = tmp_path / "config.yaml", tmp_path / "ledger.py"
    config.write_text(
        yaml.safe_dump(
            {
                "dicom": {"host": "127.0.0.1"},
                "storage": {"minimum_free": "1 MiB"},
                "http": {"port": None},
            }
        )
    )
    ledger.write_text(LEDGER.format(config=str(config), root=str(ROOT)))
    serve = (
        "env RASNODE_DICOM__PORT={port} RASNODE_STORAGE__ROOT={dir} "
        f"PYTHONPATH={ROOT} {sys.executable} -m node serve -c {config}"
    )
    done = subprocess.run(
        [
            sys.executable, "faultcheck.py", "--name", "rasnode", "--aet", "RASNODE",
            "--port", str(free_port()), "--ledger", f"py:{ledger}:rows", "--cmd", serve,
            "--checks", check, *QUICK[check],
        ],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert any(line.startswith("SUMMARY") for line in lines), done.stdout + done.stderr
    failed = [line for line in lines if line.startswith("FAIL") and TIMING not in line]
    assert not failed, "\n".join(failed)
    if "SKIP" in done.stdout and "PASS" not in done.stdout:
        pytest.skip(done.stdout.strip().splitlines()[0])
