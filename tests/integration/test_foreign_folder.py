"""What lies in the folder that a command is started in is data: none of it is run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from pydicom import dcmread
from pydicom.uid import RLELossless

import node as package
from tests.integration.test_processes import child
from tests.running import RunningNode, eventually
from tests.small import small_ct

SECRET = "s3cret-of-the-test"  # noqa: S105
PACKAGE_FOLDER = Path(package.__file__).parents[1]


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Whatever may be imported: the standard library, and all that is installed."""
    found = sorted({*sys.stdlib_module_names, *packages_distributions()} | {"node"})
    assert {"gdcm", "msgspec", "numpy", "json", "selectors"} <= set(found)
    return found


@pytest.fixture
def mined(tmp_path: Path, names: list[str]) -> Iterator[Path]:
    """A folder with a file for each of them, which tells when it is run."""
    folder, told = tmp_path / "dataset", tmp_path / "told"
    folder.mkdir()
    for name in [*names, "sitecustomize", "usercustomize"]:
        mine = f"open({str(told)!r}, 'a').write({name!r} + '\\n')\nraise SystemExit(99)\n"
        (folder / f"{name}.py").write_text(mine)
    yield folder
    assert not told.exists(), told.read_text()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """`rasnode` as pip installs it."""
    path = tmp_path / "bin" / "rasnode"
    path.parent.mkdir()
    path.write_text("from node.cli.main import main\nif __name__ == '__main__':\n    main()\n")
    return path


def compressed_series(folder: Path) -> None:
    """A small CT in runs (RLE)."""
    for path in small_ct(folder / "ct", 3, announced=True):
        image = dcmread(path)
        image.compress(RLELossless, generate_instance_uid=False)
        image.save_as(path)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PACKAGE_FOLDER)}


def test_convert_and_import(mined: Path, program: Path) -> None:
    """Compressed frames are decoded in a process of its own."""
    compressed_series(mined)
    (mined / "config.yaml").write_text(yaml.safe_dump({"storage": {"root": "../data"}}))
    for arguments in (["convert", ".", "../out"], ["import", "ct"]):
        done = _run([sys.executable, str(program), *arguments], mined)
        assert done.returncode == 0, done.stderr
    assert list((mined.parent / "out").glob("*.nii.gz"))


@pytest.mark.parametrize("names", [["gdcm", "msgspec", "numpy", "typer", "yaml"]])
def test_python_m(mined: Path, names: list[str]) -> None:
    """Of the working folder Python itself takes what it needs before our first line is run, and
    the package if it is there; nothing else."""
    compressed_series(mined)
    done = _run([sys.executable, "-m", "node", "convert", ".", "../out"], mined)
    assert done.returncode == 0, done.stderr
    assert list((mined.parent / "out").glob("*.nii.gz"))


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=folder, env=environment(), timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_serve_and_all_that_it_starts(mined: Path, program: Path, tmp_path: Path) -> None:
    """Also: no process of the node has a secret among its arguments, and those that take the place
    of others have none in their environment."""
    running = RunningNode(tmp_path)
    served = yaml.safe_load(running.config.read_text())
    served["completion"] = {"quiet_seconds": 0.5}
    running.config.write_text(yaml.safe_dump(served))
    deliver = [{"name": "far", "webhook": {"url": "http://127.0.0.1:9/", "secret": SECRET}}]
    with running.log.open("wb") as log:
        running.process = subprocess.Popen(
            [sys.executable, program, "serve", "-c", running.config], cwd=mined, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={**environment(), "RASNODE_DELIVER": json.dumps(deliver)},
        )  # fmt: skip
    try:
        eventually(lambda: running._answers(running.port), 30, "the node listens")
        running.send(*small_ct(tmp_path / "first", 2, announced=True))
        successors = {
            "rasnode-receive": "node.daemon.receiving.process",
            "rasnode-ingest": "node.storage.ingest.process",
        }
        for name in successors:
            first = child(running, name)
            assert first is not None
            os.kill(first, signal.SIGKILL)
        for word in successors.values():
            eventually(partial(child, running, word), 20, "another takes its place")
        running.send(*small_ct(tmp_path / "small", 3, announced=True))
        running.settle(30, states=["ready"])
        own = Path(f"/proc/{running.process.pid}/environ").read_bytes()  # its user's choice
        for process in _family(running.process.pid):
            assert SECRET.encode() not in (process / "cmdline").read_bytes()
            if (process / "environ").read_bytes() != own:
                assert SECRET.encode() not in (process / "environ").read_bytes(), process
        assert running.terminate() == 0
    finally:
        running.kill()


def _family(pid: int) -> list[Path]:
    found = [Path(f"/proc/{pid}")]
    for one in found:
        for thread in (one / "task").iterdir():
            found += [Path(f"/proc/{kid}") for kid in (thread / "children").read_text().split()]
    return found
