"""With a pynetdicom that is not known, its own server takes in what is sent."""

from __future__ import annotations

from pathlib import Path

from tests.running import RunningNode
from tests.small import small_ct

OTHER = """
import pynetdicom
pynetdicom.__version__ = "99.0.0"
"""


def test_a_node_serves_without_what_it_knows_of_pynetdicom(tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(OTHER)
    node = RunningNode(tmp_path, {"completion": {"quiet_seconds": 0.5}})
    node.start({"PYTHONPATH": str(hook)})
    try:
        node.send(*small_ct(tmp_path / "ct", 12, announced=True))
        node.settle(30, states=["ready"])
        assert len(node.instances()) == 12
        assert node.terminate() == 0
    finally:
        node.kill()
    assert "pynetdicom 99.0.0 is not one of" in node.log.read_text()
