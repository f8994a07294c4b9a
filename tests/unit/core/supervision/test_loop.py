"""A loop goes on whatever its step raises, and its heartbeat tells how it is."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from node.core.errors import Lines, Retryable
from node.core.supervision import HEARTBEATS, Loop, LoopState, background, install_hooks, within
from node.core.supervision import heartbeat as module
from tests.running import eventually

NAME = "ANNA" + "^PATIENT"


@pytest.fixture
def started() -> Iterator[Callable[..., Loop]]:
    """Makes loops that end with the test."""
    loops: list[Loop] = []

    def start(step: Callable[[], float], **options: object) -> Loop:
        loop = Loop("under test", step, **options)  # type: ignore[arg-type]
        loop.start()
        loops.append(loop)
        return loop

    yield start
    for loop in loops:
        loop.stop(5)


def sign() -> LoopState | None:
    return next((one for one in HEARTBEATS.own() if one.name == "under test"), None)


@pytest.mark.parametrize("kind", [ValueError, SystemExit, MemoryError])
def test_whatever_a_step_raises_the_loop_goes_on(
    started: Callable[..., Loop], kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def step() -> float:
        calls.append(None)
        if len(calls) < 3:
            raise kind(NAME)
        return 60.0

    started(step)
    eventually(lambda: len(calls) >= 3, 10, "it was called again")
    said = [one.getMessage() for one in caplog.records]
    assert len(said) == 1  # the same failure once
    assert isinstance((caplog.records[0].args or ())[-1], Lines)  # not one line joined by ?
    assert "reference" in said[0]
    assert NAME not in said[0]


def test_a_loop_that_always_fails_is_late_and_says_why(
    started: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step() -> float:
        raise KeyError(NAME)

    monkeypatch.setattr(module, "TROUBLED_SECONDS", 0.2)
    started(step, limit=0.3)
    found = eventually(lambda: (one := sign()) and one.late and one, 5, "it is late")
    assert "KeyError, reference" in found.fault
    assert NAME not in found.fault


def test_what_is_foreseen_is_trouble_but_not_late(
    started: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step() -> float:
        raise Retryable("the disk is full")

    monkeypatch.setattr(module, "TROUBLED_SECONDS", 0.2)
    started(step, limit=2.0)
    found = eventually(lambda: (one := sign()) and one.fault and one, 5, "it is in trouble")
    assert found.fault == "the disk is full"
    assert not found.late


def test_a_loop_that_hangs_is_late_and_one_that_rests_is_not(
    started: Callable[..., Loop],
) -> None:
    go_on = threading.Event()

    def step() -> float:
        go_on.wait()
        return 60.0

    loop = started(step, limit=1.5)
    eventually(lambda: (one := sign()) and one.late, 5, "it is late")
    go_on.set()
    eventually(lambda: (one := sign()) and not one.late, 5, "it is fresh again")
    time.sleep(1.6)
    resting = sign()
    assert resting is not None
    assert not resting.late
    loop.stop(5)
    assert sign() is None


def test_patience_is_for_what_is_done_within(started: Callable[..., Loop]) -> None:
    loop = started(lambda: 60.0, limit=5.0)
    with loop.heartbeat.patience(100):
        assert loop.heartbeat.sign().limit == 105
    assert loop.heartbeat.sign().limit == 5


def test_waking_ends_a_rest_but_not_the_pace(started: Callable[..., Loop]) -> None:
    calls: list[float] = []

    def step() -> float:
        calls.append(time.monotonic())
        return 60.0

    loop = started(step, pace=0.3)
    eventually(lambda: calls, 5, "it began")
    loop.wake()
    eventually(lambda: len(calls) == 2, 5, "it was woken")
    assert calls[1] - calls[0] >= 0.3


def test_a_loop_that_nobody_knows_any_more_is_not_watched() -> None:
    Loop("under test", lambda: 60.0)
    gc.collect()
    assert sign() is None


def test_work_in_the_background_is_guarded(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise ValueError(NAME)

    background("once", work).join(5)
    said = caplog.records[0].getMessage()
    assert "once failed (reference" in said
    assert NAME not in said


def test_threads_of_others_that_end_badly_are_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr("sys.unraisablehook", None)
    install_hooks()

    def work() -> None:
        raise ValueError(NAME)

    with caplog.at_level(logging.ERROR):
        thread = threading.Thread(target=work, name="a library's")
        thread.start()
        thread.join()
    said = caplog.records[0].getMessage()
    assert "the thread a library's ended" in said
    assert NAME not in said


def test_a_call_is_waited_for_only_so_long() -> None:
    assert within(5, lambda: 7) == 7
    never = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.05, never.wait)
    never.set()
    with pytest.raises(ValueError, match="own"):
        within(5, lambda: (_ for _ in ()).throw(ValueError("own")))


def test_a_loop_that_fails_rests_although_it_is_woken(started: Callable[..., Loop]) -> None:
    calls: list[float] = []

    def step() -> float:
        calls.append(time.process_time())
        loop.wake()
        raise ValueError(NAME)

    loop = Loop("under test", step)
    loop.start()
    eventually(lambda: len(calls) == 3, 10, "it is tried again")
    loop.stop(5)
    assert calls[2] - calls[0] < 0.5  # of 1.5 s; a loop that spins uses all of them
