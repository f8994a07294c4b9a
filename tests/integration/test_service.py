"""The daemon as its keeper sees it: starts or says why not, stops in time, forgets nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import RunningNode, dcmtk, eventually


def serve(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )


def assert_refused(result: subprocess.CompletedProcess[str], said: str) -> None:
    assert result.returncode == 2, result
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3


def test_it_answers_c_echo_and_stops_on_sigterm(node: RunningNode) -> None:
    echo = [dcmtk("echoscu"), "-aec", "RASNODE", "127.0.0.1", str(node.port)]
    assert subprocess.run(echo, check=False, timeout=30).returncode == 0
    assert node.terminate(10) == 0


def test_a_typo_in_the_configuration_is_exit_code_2(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("dicom:\n  prot: 1\n")
    result = serve("-c", str(config), cwd=tmp_path)
    assert_refused(result, "line 2: there is no key 'dicom.prot'; did you mean 'dicom.port'?")


def test_a_missing_configuration_is_exit_code_2(tmp_path: Path) -> None:
    assert_refused(serve("-c", "nowhere.yaml", cwd=tmp_path), "No such file or directory")


def test_a_taken_port_is_exit_code_2_and_leaves_nothing_running(tmp_path: Path) -> None:
    made = RunningNode(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", made.port))
        holder.listen()
        result = serve("-c", str(made.config), cwd=tmp_path)
    assert_refused(result, f"cannot listen on 127.0.0.1:{made.port}")


def test_a_storage_root_that_cannot_be_made_is_exit_code_2(tmp_path: Path) -> None:
    made = RunningNode(tmp_path)
    made.root.write_text("a file stands where the folder should be")
    assert_refused(serve("-c", str(made.config), cwd=tmp_path), "storage.root")


def test_two_nodes_never_share_a_storage_root(node: RunningNode, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    second = RunningNode(other, {"storage": {"root": str(node.root)}})
    assert_refused(serve("-c", str(second.config), cwd=tmp_path), "another rasnode")


def test_sighup_takes_over_who_may_come(tmp_path: Path) -> None:
    made = RunningNode(tmp_path, {"dicom": {"accept": "known"}}).start()
    try:
        echo = [
            dcmtk("echoscu"), "-aet", "MODALITY", "-aec", "RASNODE",
            "127.0.0.1", str(made.port),
        ]  # fmt: skip
        assert subprocess.run(echo, check=False, capture_output=True).returncode != 0
        text = made.config.read_text().replace(
            "accept: known",
            "accept: known\n  peers: [{name: m, ae_title: MODALITY, host: 127.0.0.1}]",
        )
        made.config.write_text(text)
        assert made.process is not None
        made.process.send_signal(1)
        eventually(
            lambda: subprocess.run(echo, check=False, capture_output=True).returncode == 0,
            10,
            "the new peer may come",
        )
    finally:
        made.kill()


@pytest.mark.parametrize("command", ["status", "ls"])
def test_reading_commands_say_when_there_is_nothing_yet(tmp_path: Path, command: str) -> None:
    made = RunningNode(tmp_path)
    result = made.rasnode(command, check=False)
    assert result.returncode == 2
    assert "no node has run with this configuration yet" in result.stderr
