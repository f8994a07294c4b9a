"""Whether targets can work is checked inside the process that will use them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from node.core.settings.deliver import TargetSettings, WebhookSettings
from node.core.system.disk import output_writable
from node.deliver import target_checks
from node.deliver.target_checks import fault_of, faults, secret_fault


def target(**way: Any) -> TargetSettings:
    return TargetSettings.model_validate({"name": "t", **way})


def folder(path: Path) -> TargetSettings:
    return target(folder={"path": str(path)})


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert fault_of(folder(tmp_path)) == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]  # nothing is left there
    assert fault_of(folder(tmp_path / "none")) == f"{tmp_path / 'none'} is not there"
    assert fault_of(folder(tmp_path / "file")) == f"{tmp_path / 'file'} is no folder"


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every folder but its own is for a service under ProtectSystem=strict."""

    def read_only(*_args: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    assert output_writable(tmp_path) == f"{tmp_path} cannot be written: Read-only file system"


def test_a_file_system_without_files_that_have_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_args: object) -> int:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "open", unsupported)
    assert output_writable(tmp_path) is None
    monkeypatch.setattr(os, "access", lambda *_args: False)
    assert output_writable(tmp_path) == f"{tmp_path} cannot be written"


def test_commands(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert fault_of(target(command={"run": ["/bin/true"]})) == ""
    assert fault_of(target(command={"run": ["{folder}/made"]})) == ""
    assert "does not exist" in fault_of(target(command={"run": ["no-such-program"]}))
    assert "is not executable for the node" in fault_of(target(command={"run": [str(script)]}))


def test_an_unavailable_file_server_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(target_checks, "_SECONDS", 0.1)
    monkeypatch.setattr(target_checks, "output_writable", lambda _path: over.wait(30))
    found = faults([folder(tmp_path)])
    over.set()
    assert "does not answer within 0.1 s" in found["t"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), ("short", "holds 5 bytes")]
)
def test_a_secret_that_cannot_be_used(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    hook = WebhookSettings.model_validate({"url": "http://x/", "secret_file": str(path)})
    assert said in secret_fault(hook)
    path.write_text("sixteen letters or more\n")
    assert secret_fault(hook) == ""
