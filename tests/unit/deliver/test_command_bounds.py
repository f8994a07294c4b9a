"""Commands that write without end, do not read, do not end, or leave something behind."""

from __future__ import annotations

import os
import signal
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from node.core.settings.deliver import CommandSettings
from node.deliver.targets import program
from node.deliver.targets.command import Command
from node.deliver.targets.target import DeliveryFailed
from tests.unit.deliver.samples import delivery


def shell(text: str, *arguments: str, attributes: Any = None, seconds: float = 30.0) -> Command:
    settings = CommandSettings(
        run=("/bin/sh", "-c", text, "sh", *arguments), timeout_seconds=seconds
    )
    return Command(settings, lambda _pk: attributes or {})


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[Path]:
    """A file that a command writes its child's number to; that is ended after the test."""
    path = tmp_path / "pid"
    yield path
    if path.exists():
        with suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


def runs(noted: Path) -> bool:
    """Whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{noted.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def is_gone_soon(noted: Path) -> bool:
    deadline = time.monotonic() + 5
    while runs(noted) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not runs(noted)


def test_of_200_mb_on_stderr_the_end_is_kept() -> None:
    command = shell("head -c 200000000 /dev/zero >&2; echo 'last words' >&2; exit 3")
    tracemalloc.start()
    try:
        with pytest.raises(DeliveryFailed, match=r"exited with 3$") as caught:
            command.deliver(delivery())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.output.endswith("last words")
    assert len(caught.value.output) <= 600
    assert peak < 2 << 20


def test_what_it_wrote_last_is_read_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(pid: int) -> bool:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) is not None

    monkeypatch.setattr(program, "_has_ended", wait)
    with pytest.raises(DeliveryFailed) as caught:
        shell("echo 'last words' >&2; exit 3").deliver(delivery())
    assert caught.value.output == "last words"


def test_what_it_prints_goes_nowhere() -> None:
    shell("head -c 50000000 /dev/zero").deliver(delivery())


def test_it_need_not_read_what_it_is_given() -> None:
    much = {"files": [f"s/{number:06}.nii.gz" for number in range(6000)]}
    shell("exec 0<&-; exit 0").deliver(delivery(**much))
    with pytest.raises(DeliveryFailed, match="exited with 4"):
        shell("sleep 0.1; exit 4").deliver(delivery(**much))


def test_it_gets_more_than_a_pipe_holds() -> None:
    many = [f"s/{number:06}.nii.gz" for number in range(6000)]
    shell('test "$(wc -c)" -gt 90000').deliver(delivery(files=many))


def test_what_it_leaves_in_its_group_is_ended(noted: Path) -> None:
    began = time.monotonic()
    shell('sleep 60 & echo $! > "$1"', str(noted)).deliver(delivery())
    assert time.monotonic() - began < program.GRACE_SECONDS
    assert is_gone_soon(noted)


def test_what_does_not_heed_sigterm_is_killed(noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.3)
    child = "(trap '' TERM; while :; do sleep 1; done) & echo $! > \"$1\""
    shell(child, str(noted)).deliver(delivery())
    assert is_gone_soon(noted)


def test_a_child_in_a_session_of_its_own_is_not_waited_for(noted: Path) -> None:
    """It holds stderr open, and goes on: the command has exited with 0."""
    began = time.monotonic()
    text = 'setsid sh -c \'echo $$ > "$1"; exec sleep 60\' sh "$1" & '
    text += 'while ! test -s "$1"; do sleep 0.01; done'
    shell(text, str(noted)).deliver(delivery())
    assert time.monotonic() - began < 20
    assert runs(noted)


@pytest.mark.parametrize("heeds", [True, False])
def test_one_that_hangs_is_ended_with_its_children(
    noted: Path, monkeypatch: pytest.MonkeyPatch, heeds: bool
) -> None:
    monkeypatch.setattr(program, "GRACE_SECONDS", 10.0 if heeds else 0.3)
    text = "" if heeds else "trap '' TERM; "
    text += 'echo why >&2; sleep 60 & echo $! > "$1"; while :; do wait; done'
    began = time.monotonic()
    with pytest.raises(
        DeliveryFailed, match=r"timed-out: '/bin/sh' was ended after 0\.5 s"
    ) as caught:
        shell(text, str(noted), seconds=0.5).deliver(delivery())
    assert time.monotonic() - began < 8
    assert "why" in caught.value.output
    assert is_gone_soon(noted)


def test_one_that_cleans_up_on_sigterm_has_the_time_to(tmp_path: Path) -> None:
    text = "trap 'echo cleaned > \"$1\"; exit 0' TERM; while :; do sleep 0.05; done"
    with pytest.raises(DeliveryFailed, match="timed-out"):
        shell(text, str(tmp_path / "done"), seconds=0.5).deliver(delivery())
    assert (tmp_path / "done").read_text() == "cleaned\n"


def test_its_stderr_is_kept_without_the_patient() -> None:
    attributes = {
        "PatientName": "Doe^Jane",
        "PatientID": "77",
        "PatientBirthDate": "19700131",
        "OperatorsName": ["Roe^R"],
    }
    text = (
        "echo 'sub-77_DOE: JANE Doe (b. 31.01.1970, seen by Roe) not in 1177 subjects' >&2; exit 1"
    )
    with pytest.raises(DeliveryFailed) as caught:
        shell(text, attributes=attributes).deliver(delivery())
    assert caught.value.output == (
        "sub-[removed]_[removed]: [removed] [removed] (b. [removed], seen by [removed]) "
        "not in 1177 subjects"
    )
    assert str(caught.value) == "'/bin/sh' exited with 1"


def test_an_argument_that_no_program_can_be_given() -> None:
    for text in ("nul\0", "half a pair \ud800"):
        with pytest.raises(ValueError):  # noqa: PT011  for the dispatcher, a failed attempt
            shell("exit 0", "{state}").deliver(delivery(state=text))
