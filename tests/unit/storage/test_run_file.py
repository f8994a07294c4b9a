"""What other commands hear of a running node."""

from __future__ import annotations

from pathlib import Path

from node.storage.root_lock import sole_owner
from node.storage.run_file import UNSEEN, RunState, announce, running_node, withdraw

NODE = RunState(7, 104, None, ("share",), {"share": "read-only"})


def test_it_is_heard_while_it_runs_and_no_longer(tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert running_node(root) is None
    with sole_owner(root):
        assert running_node(root) is UNSEEN  # starting
        announce(root, NODE)
        assert running_node(root) == NODE
    assert running_node(root) is None  # killed: what it said is still there, and counts no more
    with sole_owner(root):
        assert running_node(root) is UNSEEN
        announce(root, NODE)
        withdraw(root)
        assert running_node(root) is UNSEEN
