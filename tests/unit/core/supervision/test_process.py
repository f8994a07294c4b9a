"""A process that dies, is stopped, or of which a loop hangs is ended and replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.core.supervision import HEARTBEATS, SupervisedProcess
from node.core.supervision import process as module
from node.core.supervision.heartbeat_report import LIFE, read_life
from tests.running import eventually

LIVES = """
import sys, time
said = sys.argv[1]
while True:
    print("life", said, flush=True)
    print("word", flush=True)
    time.sleep(0.1)
"""


class Children:
    """Processes that are supervised."""

    def __init__(self) -> None:
        self.words: list[bytes] = []
        self.all: list[subprocess.Popen[bytes]] = []
        self.signs: list[dict[str, object]] = []
        self.supervised: SupervisedProcess | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        one = subprocess.Popen(
            [sys.executable, "-c", LIVES, json.dumps(self.signs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.all.append(one)
        return one

    def start(self, *, vital: bool = True) -> SupervisedProcess:
        self.supervised = SupervisedProcess(
            "child", self.spawn(), self.spawn, self.words.append, vital=vital
        )
        self.supervised.start()
        eventually(lambda: self.words, 10, "it says something")
        return self.supervised


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 1.0)
    monkeypatch.setattr(module, "_HUNG_SECONDS", 0.5)
    made = Children()
    try:
        yield made
    finally:
        if made.supervised is not None:
            made.supervised.expect_end()
        for one in made.all:
            one.kill()
            one.wait(10)
            assert one.stdin is not None
            one.stdin.close()
        if made.supervised is not None:
            made.supervised.stop(10)
        assert not [sign for sign in HEARTBEATS.all() if sign.name.startswith("child")]


def test_one_that_dies_is_replaced_and_both_are_heard(children: Children) -> None:
    supervised = children.start()
    supervised.process.kill()
    eventually(lambda: len(children.all) == 2, 10, "another one is started")
    heard = len(children.words)
    eventually(lambda: len(children.words) > heard, 10, "it is heard")
    assert supervised.deaths == 1


def test_one_that_is_stopped_is_ended(children: Children) -> None:
    supervised = children.start()
    os.kill(supervised.process.pid, signal.SIGSTOP)
    eventually(lambda: len(children.all) == 2, 10, "another one is started")


@pytest.mark.parametrize("vital", [True, False])
def test_one_of_which_a_vital_loop_hangs_is_ended(children: Children, vital: bool) -> None:
    children.signs = [{"name": "loop", "age": 9.0, "limit": 6.0, "vital": vital, "trouble": ""}]
    children.start()
    if vital:
        eventually(lambda: len(children.all) >= 2, 10, "another one is started")
    found = eventually(
        lambda: [sign for sign in HEARTBEATS.all() if sign.name == "child: loop"], 10, "it is told"
    )
    assert found[0].late
    assert vital or len(children.all) == 1


def test_a_life_line_that_cannot_be_read_says_nothing() -> None:
    assert read_life(LIFE + b"[{") == []
    assert read_life(LIFE + b'[{"name": 1}]') == []


def test_children_do_not_hold_what_they_say_back(tmp_path: Path) -> None:
    """A reporter's parent may be busy for long: its line is left out then."""
    code = """
import os, time
os.set_blocking(1, False)
from node.core.supervision import Reporter
Reporter().start()
time.sleep(0.5)
while True:
    try:
        os.write(1, b"x" * 4096)
    except BlockingIOError:
        break
time.sleep(2.5)
os._exit(0)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.wait(30) == 0


def test_a_process_that_is_not_vital_never_asks_for_a_restart_of_the_node(children) -> None:
    """Its loops are late, it is replaced, and the watchdog goes on feeding systemd."""
    children.signs = [{"name": "a loop", "age": 99.0, "limit": 6.0, "vital": True, "trouble": ""}]
    one = children.start(vital=False)
    eventually(lambda: one.deaths, 20, "it is ended, as its loop hangs")
    signs = [sign for sign in HEARTBEATS.all() if sign.name.startswith("child")]
    assert signs
    assert not any(sign.vital for sign in signs)
