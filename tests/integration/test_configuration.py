"""Where a running node's configuration comes from, and what it says of a wrong one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from node.cli.commands import build
from node.core.errors import ConfigError
from node.core.settings import file
from node.core.settings.passcodes import make_hash
from tests.running import RunningNode, configured, eventually, free_port
from tests.small import small_ct


def test_a_node_says_what_it_was_told_and_what_it_cannot_do(tmp_path: Path) -> None:
    """One node for all of it, as each takes a second to start."""
    lost = {"name": "lost", "folder": {"path": str(tmp_path / "lost")}}
    node = configured(tmp_path, [lost], completion={"study_quiet_seconds": 1})
    port = free_port()
    node.port, node._ports = port, [port]
    try:
        node.start(env={"RASNODE_DICOM__PORT": str(port)})
        first = node.log.read_text().splitlines()[0]
        assert f"configuration: {node.config}; set by the environment: dicom.port " in first
        assert "(RASNODE_DICOM__PORT, not line" in first
        warning = f"delivery lost cannot work: {tmp_path}/lost is not there"
        eventually(lambda: "listening on" in node.log.read_text(), 30, "it has started")
        assert warning in node.log.read_text()
        assert json.loads(node.rasnode("status", "--json").stdout)["warnings"] == [warning]

        whole = node.config.read_text()
        node.config.write_text(whole.replace("minimum_free", "minimum_fre") + "lgo: 1\n")
        assert node.process is not None
        node.process.send_signal(signal.SIGHUP)
        eventually(lambda: "keeps the old one" in node.log.read_text(), 10, "the log says so")
        eventually(lambda: "'lgo'" in node.log.read_text(), 10, "and all of it")
        log = node.log.read_text().splitlines()
        (at,) = [number for number, line in enumerate(log) if "keeps the old one" in line]
        assert "there is no key 'storage.minimum_fre'" in log[at]
        assert log[at + 1].startswith(f"    {node.config}, line ")
        assert "there is no key 'lgo'; did you mean 'log'?" in log[at + 1]

        (tmp_path / "lost").mkdir()
        node.config.write_text(whole)
        node.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: "delivery rules and protocols again" in node.log.read_text(),
            10,
            "it is taken over",
        )
        found = eventually(
            lambda: not json.loads(node.rasnode("status", "--json").stdout)["warnings"], 30, "well"
        )
        assert found

        protocol = tmp_path / "protocol.json"
        node.config.write_text(whole + f"expect: [{{protocol: {protocol}}}]\n")
        node.process.send_signal(signal.SIGHUP)
        said = f"keeps the old one: cannot read the protocol {protocol}"
        eventually(lambda: said in node.log.read_text(), 10, "the log says what is missing")
        protocol.write_text('{"series": [{"series": "T1w", "kind": ""}]}')
        node.process.send_signal(signal.SIGHUP)
        again = "delivery rules and protocols again"
        eventually(lambda: node.log.read_text().count(again) == 2, 10, "it is taken over")
        assert "restart the node to apply" not in node.log.read_text()
        node.send(*small_ct(tmp_path / "ct", 3, announced=True))
        lacks = "T1w: the series is missing"
        eventually(lambda: lacks in node.rasnode("status", "--level", "study").stdout, 60, "said")
        assert node.terminate() == 0
        assert not (node.root / ".rasnode.json").exists()
    finally:
        node.kill()


def test_no_port_is_opened_while_the_page_has_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        node = RunningNode(tmp_path, {"http": {"port": taken}})
        with node.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "node", "serve", "-c", str(node.config)],
                stdout=log,
                stderr=log,
            )
        opened = False
        while process.poll() is None:
            opened = opened or node._answers(node.port)
            time.sleep(0.01)
    assert process.returncode == 2
    assert not opened
    said = node.log.read_text()
    assert f"cannot listen on 127.0.0.1:{taken} (the page): Address already in use" in said
    assert f"(process {os.getpid()}) listens there" in said


def test_a_start_right_after_kill_9_finds_its_port(tmp_path: Path) -> None:
    node = RunningNode(tmp_path, {"http": {"port": free_port()}, "dicom": {"processes": 2}})
    try:
        for _ in range(2):
            node.start()
            assert node.process is not None
            node.process.kill()  # it alone: its receivers have the port a moment longer
            node.process.wait(10)
    finally:
        node.kill()


def test_commands_name_the_configuration_that_they_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    system = tmp_path / "etc.yaml"
    monkeypatch.setattr(file, "SYSTEM_FILE", system)
    with pytest.raises(ConfigError, match="the configuration is the built-in defaults"):
        build()(["status"], standalone_mode=False)
    system.write_text(f"storage: {{root: {tmp_path}/data}}")
    for command in (["status"], ["ls"], ["retry", "1.2"], ["rules", "--series", "1.2"]):
        with pytest.raises(ConfigError, match=rf"no node has run .*configuration is {system}"):
            build()(command, standalone_mode=False)


def test_check_config_says_where_each_value_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sixteen letters or more")
    hook = {"url": "http://127.0.0.1/", "secret_file": str(secret)}
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump(
            {"dicom": {"ae_title": "A"}, "deliver": [{"name": "w", "webhook": hook}]},
            sort_keys=False,
        )
    )
    monkeypatch.setenv("RASNODE_HTTP__PORT", "null")
    command = ["check-config", "-c", str(path)]
    build()(command, standalone_mode=False)
    text = capsys.readouterr().out
    shown = {line.split("#")[0].strip(): line.partition("# ")[2] for line in text.splitlines()}
    assert shown["ae_title: A"] == f"{path}:2"
    assert shown["port: 11112"] == "default"
    assert shown["port: null"] == "environment RASNODE_HTTP__PORT"
    assert shown["secret: null"] == f"secret_file {secret}"
    again = tmp_path / "again.yaml"
    again.write_text(text)
    monkeypatch.delenv("RASNODE_HTTP__PORT")
    assert file.load_settings(again).http.port is None

    build()([*command, "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    assert said["dicom"]["ae_title"] == "A"
    assert said["sources"]["dicom.ae_title"] == f"{path}:2"

    secret.unlink()
    path.write_text(path.read_text() + "output: {name: fixed}\nlgo: 1\n")
    with pytest.raises(ConfigError) as caught:
        build()(command, standalone_mode=False)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert f"line 7: secret_file {secret} cannot be read: No such file" in lines[0]
    assert "line 8: output.name 'fixed' would give every series the same name" in lines[1]
    assert "line 9: there is no key 'lgo'" in lines[2]


def test_check_config_shows_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    url = "https://hook:s3cret-in-url@hooks.example/x?event=a&api_token=s3cret-in-query"
    webhook = {"url": url, "secret": "s3cret-of-the-webhook"}
    command = {"run": ["true"], "environment": {"TOKEN": "s3cret-of-the-command"}}
    path.write_text(
        yaml.safe_dump(
            {
                "dicom": {"identity": {"users": {"mr": make_hash("x"), "ct": "a" * 64}}},
                "database": {"url": "postgresql+psycopg://u:s3cret/of:db@db/rasnode"},
                "deliver": [
                    {"name": "w", "webhook": webhook},
                    {"name": "c", "command": command},
                ],
            }
        )
    )
    for options in ([], ["--json"]):
        build()(["check-config", "-c", str(path), *options], standalone_mode=False)
        said = capsys.readouterr().out
        assert "s3cret" not in said
        assert "argon2" not in said
        assert "a" * 64 not in said
        assert "postgresql+psycopg://u:***@db/rasnode" in said
        assert "hooks.example/x?event=a" in said
