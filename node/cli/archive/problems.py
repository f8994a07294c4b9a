"""Files that a backup or a restore could not copy as they were recorded."""

from __future__ import annotations

from typing import Final

from node.cli.output.terminal import say
from node.core.errors import NodeError

_SHOWN: Final = 20


def report_problems(problems: list[str], consequence: str) -> None:
    """Print the first problems and end the command with an error; without problems do nothing.

    Args:
        problems: a sentence for each file.
        consequence: what the error says of these files, after their number.

    Raises:
        NodeError: there are problems.
    """
    for problem in problems[:_SHOWN]:
        say(problem, err=True)
    if len(problems) > _SHOWN:
        say(f"and {len(problems) - _SHOWN} more", err=True)
    if problems:
        raise NodeError(f"{len(problems)} files {consequence}")
