"""The node's side of the viewer's process: starts it, asks it, and replaces it if it dies."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from node.core.supervision import Process, Program, SupervisedProcess
from node.web.viewer.messages import Answered, Asked, NotNow
from node.web.viewer.process import GO, serve

log = logging.getLogger(__name__)

NAME: Final = "viewer"
FOLDER: Final = "viewer-cache"
"""Below `storage.root`: decompressed copies of volumes, removed at each start."""
_ANSWER_SECONDS: Final = 13.0  # less than web.deadlines.REQUEST_SECONDS
_ASK_SECONDS: Final = 1.0
_MOST_HEAD: Final = 64 << 10
_PART: Final = 1 << 20

Viewer = Callable[[Asked], tuple[Answered, bytes]]
"""Answers a question about a volume; raises NotViewable and NotNow."""


class ViewerProcess:
    """The viewer's process. It is made at once, and answers from `start` on.

    Args:
        root: `storage.root`.
        minimum_free: bytes that have to stay free on the disk.
        log_format: `log.format`.
    """

    def __init__(self, root: Path, minimum_free: int, log_format: str) -> None:
        self._questions, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._questions.settimeout(_ASK_SECONDS)
        configuration: dict[str, Any] = {
            "folder": str(root.absolute() / FOLDER),
            "minimum_free": minimum_free,
            "questions": self._theirs.fileno(),
            "log": log_format,
        }
        program = Program(
            title="rasnode-viewer",
            task=serve,
            module="node.web.viewer.process",
            configuration=lambda: configuration,
            keep=(self._theirs.fileno(),),
        )
        self._process = SupervisedProcess(
            NAME, program.fork(), partial(_again, program), _unexpected, vital=False
        )

    def start(self) -> None:
        """Let it begin: the storage root belongs to this node."""
        self._process.start()
        self._process.send(GO)

    def stop(self, seconds: float) -> None:
        """End it; questions that are not answered yet are refused.

        Args:
            seconds: until it is killed.
        """
        self._process.expect_end()
        self._process.close_input()
        self._process.stop(seconds)
        self._questions.close()
        self._theirs.close()

    def ask(self, asked: Asked) -> tuple[Answered, bytes]:
        """Ask one question and wait for the answer.

        Args:
            asked: the question.

        Returns:
            the answer and the bytes that follow it.

        Raises:
            NotViewable: the volume cannot be shown, or has no such slice or voxel.
            NotNow: the process does not answer in time, or has just died.
        """
        until = time.monotonic() + _ANSWER_SECONDS
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._send(msgspec.json.encode(asked), theirs)
            try:
                head, body = _received(ours, until)
            except TimeoutError as error:
                raise NotNow(
                    "the viewer does not answer in time, as it decompresses a large volume or the "
                    "disk is slow; try again in a few seconds"
                ) from error
            except (ConnectionError, EOFError) as error:
                raise NotNow(
                    "the viewer's process ended before it had answered and is started again; "
                    "try again in a few seconds"
                ) from error
        return head.checked(), body

    def _send(self, question: bytes, answers: socket.socket) -> None:
        try:
            socket.send_fds(self._questions, [question], [answers.fileno()])
        except OSError as error:
            raise NotNow("the viewer has too many questions waiting; try again") from error


def _received(answers: socket.socket, until: float) -> tuple[Answered, bytes]:
    """The answer and the bytes that follow it."""
    got = bytearray()
    while (end := got.find(b"\n")) < 0:
        if len(got) > _MOST_HEAD:
            raise EOFError
        got += _more(answers, until)
    head = msgspec.json.decode(bytes(got[:end]), type=Answered)
    body = got[end + 1 :]
    while len(body) < head.size:
        body += _more(answers, until)
    return head, bytes(body)


def _more(answers: socket.socket, until: float) -> bytes:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    answers.settimeout(left)
    part = answers.recv(_PART)
    if not part:
        raise EOFError
    return part


def _again(program: Program) -> Process:
    """A process in the place of one that died."""
    process = program.spawn()
    assert process.stdin is not None  # noqa: S101  a new pipe
    with suppress(OSError):  # it has died already
        process.stdin.write(GO)
        process.stdin.flush()
    return process


def _unexpected(line: bytes) -> None:
    log.warning(
        "the viewer's process wrote a line that the node does not know (%d bytes)", len(line)
    )
