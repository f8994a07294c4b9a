"""The `rasnode` command. It imports little before it handles Ctrl-C."""

from __future__ import annotations

import gc

from node.cli.interrupt import exit_at_once, prepare


def main() -> None:
    """Run the command that `sys.argv` names; every error is a sentence and an exit code."""
    prepare()
    gc.disable()  # nothing is garbage while modules are imported, which takes a fifth less so
    from node.cli.commands import run  # noqa: PLC0415  Ctrl-C while it is imported is handled

    try:
        run()
    finally:
        exit_at_once()
