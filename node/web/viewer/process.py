"""The viewer's process: it reads, decompresses and draws, so that the node itself does not.

Each question comes as a datagram with the socket for its answer. The process serves from the first
line of its stdin on, and ends with its stdin.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from node.core.logs import configure_logging
from node.core.supervision import Loop, Reporter, install_hooks
from node.core.system import interpreters
from node.web.viewer.messages import Asked

if TYPE_CHECKING:
    from node.web.viewer.service import VolumeService

GO: Final = b"go\n"
MOST_QUESTION: Final = 16 << 10
"""Bytes of a question; the longest path of a file has 4096."""
_THREADS: Final = 4
_MEMORY: Final = 512 << 20  # bytes more than the process has at its start
_LOOK_MS: Final = 500
_SEND_SECONDS: Final = 10.0
_NICENESS: Final = 3  # receivers and ingester come first


def main() -> None:
    """Serve with the configuration of `ViewerProcess`, in a new interpreter."""
    configuration = interpreters.read_input()
    configure_logging(configuration["log"], Path(configuration["folder"]).parent)
    serve(configuration)


def serve(configuration: dict[str, Any]) -> None:
    """Answer questions until stdin ends.

    Args:
        configuration: `folder` of the copies, `minimum_free` bytes, the descriptor `questions`, and
            `log`.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its parent ends it by closing the pipe
    install_hooks()
    with os.fdopen(0, "rb", closefd=False) as commands:
        if commands.readline() != GO:
            return
        # Loading these takes long, and the start of the node does not wait for it.
        from node.web.viewer.copies import Copies  # noqa: PLC0415
        from node.web.viewer.service import VolumeService  # noqa: PLC0415

        os.nice(_NICENESS)
        _limit_memory()
        service = VolumeService(
            Copies(Path(configuration["folder"]), int(configuration["minimum_free"]))
        )
        questions = socket.socket(fileno=int(configuration["questions"]))
        loops = [_Answering(number, questions, service).loop for number in range(1, _THREADS + 1)]
        for loop in loops:
            loop.start()
        Reporter().start()
        commands.read()


class _Answering:
    """One thread that answers one question after the other."""

    def __init__(self, number: int, questions: socket.socket, service: VolumeService) -> None:
        self._questions = questions
        self._service = service
        self.loop = Loop(f"slices {number}", self._step)

    def _step(self) -> float:
        poll = select.poll()
        poll.register(self._questions, select.POLLIN)
        if not poll.poll(_LOOK_MS):
            return 0.0
        try:
            question, descriptors, _, _ = socket.recv_fds(
                self._questions, MOST_QUESTION, 1, socket.MSG_DONTWAIT
            )
        except BlockingIOError:  # another thread has it
            return 0.0
        with socket.socket(fileno=descriptors[0]) as answers:
            if _given_up(answers):
                return 0.0
            answers.settimeout(_SEND_SECONDS)
            with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                self._answer(msgspec.json.decode(question, type=Asked), answers)
        return 0.0

    def _answer(self, asked: Asked, answers: socket.socket) -> None:
        head, body = self._service.answer(asked, self.loop.heartbeat.beat)
        head = msgspec.structs.replace(head, size=len(body))
        answers.sendall(msgspec.json.encode(head) + b"\n")
        answers.sendall(body)


def _given_up(answers: socket.socket) -> bool:
    """Whether nobody waits for the answer any more; the socket has no timeout yet."""
    try:
        return answers.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def _limit_memory() -> None:
    """Bound the memory of this process; pages of files do not count."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    data = next(line for line in status.splitlines() if line.startswith("VmData:"))
    most = int(data.split()[1]) * 1024 + _MEMORY
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
