"""The command line as a whole: help, what it imports, and completion by a real shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from node.cli.commands import COMMANDS, build
from node.storage.identity import claim
from node.storage.index.engine import Index
from node.storage.index.store import Store
from tests.unit.storage.index.test_work import record

ROOT = Path(__file__).parents[3]
HEAVY = {
    "alembic", "argon2", "fastapi", "httpx", "isal", "nibabel", "numpy", "PIL", "prometheus_client",
    "pydicom", "pynetdicom", "scipy", "starlette", "uvicorn",
}  # fmt: skip
OF_JOURNAL = {"isal"}
"""The checksums of the journal, which a command lets settle first."""


def loaded_by(*arguments: str) -> set[str]:
    """Names of all modules that a command of its own process has imported at its end."""
    script = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from node.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a node that has received three series."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"storage": {"root": str(tmp_path)}}))
    index = Index(f"sqlite:///{tmp_path / 'index.db'}")
    index.migrate()
    claim(index, tmp_path)
    Store(index).add([(record(1, series=number, at=1e9), None) for number in (7, 70, 8)])
    index.close()
    return path


def test_help_has_the_summary_of_every_command_in_order() -> None:
    text = CliRunner().invoke(build(), ["--help"]).output
    lines = [line.split(maxsplit=1) for line in text.partition("Commands:")[2].splitlines() if line]
    assert lines == [[name, command.summary] for name, command in COMMANDS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_the_first_line_of_the_help_of_its_command(name: str) -> None:
    command = COMMANDS[name]
    function = getattr(import_module(command.module), command.function)
    is_group = isinstance(function, typer.Typer)
    said = function.info.help if is_group else function.__doc__
    assert str(said).splitlines()[0] == command.summary
    assert command.summary in CliRunner().invoke(build(), [name, "--help"]).output


def test_help_imports_no_command_and_no_large_library() -> None:
    loaded = loaded_by("--help")
    assert not loaded & {*HEAVY, "pydantic", "sqlalchemy", "yaml", "rich"}
    assert not {command.module for command in COMMANDS.values()} & loaded


def test_status_imports_no_other_command_and_no_large_library(config: Path) -> None:
    loaded = loaded_by("status", "-c", str(config))
    assert "sqlalchemy" in loaded
    assert not loaded & (HEAVY - OF_JOURNAL)
    assert {command.module for command in COMMANDS.values()} & loaded == {"node.cli.series.status"}
    assert not [name for name in loaded if name.startswith(("node.web", "node.dimse", "node.dae"))]


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """A folder for PATH with `rasnode`, and a home for the shell."""
    program = tmp_path / "bin" / "rasnode"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m node "$@"\n')
    program.chmod(0o755)
    return tmp_path


def bash(home: Path, script: str) -> list[str]:
    environment = os.environ | {
        "HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment, cwd=home, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1]


def completed(home: Path, *words: str) -> list[str]:
    """What bash offers where the last word is being typed."""
    typed = " ".join(f"'{word}'" for word in ("rasnode", *words))
    return bash(
        home,
        'source "$HOME/.bash_completions/rasnode.sh"\n'
        f"COMP_WORDS=({typed}) COMP_CWORD={len(words)}\n"
        '_rasnode_completion rasnode\n[ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"',
    )


def test_bash_completes_commands_options_and_series(shell: Path, config: Path) -> None:
    bash(shell, "rasnode --install-completion")
    assert ".bash_completions/rasnode.sh" in (shell / ".bashrc").read_text()
    assert completed(shell, "re") == ["resample", "reindex", "restore", "result", "retry", "replay"]
    assert completed(shell, "status", "--st") == ["--state", "--study"]
    uids = completed(shell, "retry", "-c", str(config), "1.8.7")
    assert sorted(uids) == ["1.8.7", "1.8.70"]
