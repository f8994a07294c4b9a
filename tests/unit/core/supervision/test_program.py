"""A program runs as a copy of this process and as a new interpreter, with one configuration."""

from __future__ import annotations

import json
import os
from typing import Any

from node.core.supervision import Process, Program
from node.core.system import interpreters


def run(configuration: dict[str, Any]) -> None:
    """Write what it was given, and what was written to its stdin."""
    line = os.read(0, 100).decode()
    kept = os.fstat(configuration["kept"]).st_ino
    os.write(1, json.dumps({**configuration, "line": line, "inode": kept}).encode())


def main() -> None:
    """In a new interpreter."""
    run(interpreters.read_input())


def result(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    with process.stdout as output:
        found: dict[str, Any] = json.loads(output.read())
    assert process.wait(10) == 0
    return found


def test_both_ways_to_start_it_give_it_the_same() -> None:
    kept = os.open("/dev/null", os.O_RDONLY)
    calls = iter(range(10))

    def configuration() -> dict[str, Any]:
        return {"secret": "s3cret", "kept": kept, "call": next(calls)}

    program = Program("a-name", run, __name__, configuration, keep=(kept,))
    expected = {"secret": "s3cret", "kept": kept, "line": "go", "inode": os.fstat(kept).st_ino}
    for call, start in enumerate((program.fork, program.spawn)):
        process = start()
        assert process.stdin is not None
        process.stdin.write(b"go")
        process.stdin.close()
        assert result(process) == {**expected, "call": call}
    os.close(kept)


def test_it_can_read_from_a_pipe_that_outlives_it() -> None:
    read, write = os.pipe()
    program = Program("a-name", run, __name__, lambda: {"kept": 2}, stdin=read)
    for start in (program.fork, program.spawn):
        os.write(write, b"once")
        process = start()
        assert process.stdin is None
        assert result(process)["line"] == "once"
    os.close(read)
    os.close(write)
