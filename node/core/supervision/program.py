"""A process of the node, and the two ways to start it.

At the start of the node the process is a copy of the node's own, made while that has no other
thread: everything is loaded already, which takes a second of processor time otherwise. In the place
of one that died a new interpreter is started, as by then there are threads.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from node.core.supervision.process import Process
from node.core.system import interpreters
from node.core.system.child_process import ForkedProcess


@dataclass(frozen=True, slots=True)
class Program:
    """What a process runs.

    Attributes:
        title: what `ps -o comm` and `top` show for a copy; at most 15 characters.
        task: what a copy runs, called with the configuration.
        module: full name of the module whose `main` a new interpreter runs; it gets the
            configuration by `interpreters.read_input`.
        configuration: returns what JSON can hold, and may hold secrets; called for each start.
        keep: descriptors that the process inherits.
        stdin: descriptor that becomes its stdin; None: a new pipe, `Process.stdin`.
    """

    title: str
    task: Callable[[dict[str, Any]], None]
    module: str
    configuration: Callable[[], Mapping[str, Any]]
    keep: tuple[int, ...] = ()
    stdin: int | None = None

    def fork(self) -> Process:
        """Start it as a copy of this process, which may have no other thread."""
        task = partial(self.task, dict(self.configuration()))
        return ForkedProcess(self.title, task, self.keep, stdin=self.stdin)

    def spawn(self) -> Process:
        """Start it in a new interpreter."""
        stdin = subprocess.PIPE if self.stdin is None else self.stdin
        return interpreters.start(
            self.module, self.configuration(), stdin=stdin, pass_fds=self.keep
        )
