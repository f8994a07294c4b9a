"""Ctrl-C ends a command with 130 and at most one sentence, whatever it is doing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import rasnode
from tests.small import small_ct

ROOT = Path(__file__).parents[2]
SCRIPT = """
import importlib, os, signal, sys
from node.cli.main import main

module, _, function = sys.argv.pop(1).partition(":")

class Finder:
    def find_spec(self, name, *_):
        if name == module:
            os.killpg(0, signal.SIGINT)

def interrupted(*arguments, **options):
    os.killpg(0, signal.SIGINT)  # as a terminal does: all processes of the command get it
    return real(*arguments, **options)

if function:
    found = importlib.import_module(module)
    real = getattr(found, function)
    setattr(found, function, interrupted)
else:
    sys.meta_path.insert(0, Finder())
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DICOM files, and the configurations of two nodes that have imported them."""
    folder = tmp_path_factory.mktemp("interrupts")
    small_ct(folder / "in", 5, announced=True)
    for name in ("config", "reindexed"):
        settings = {
            "storage": {"root": str(folder / f"{name}-data"), "minimum_free": "1 MiB"},
            "dicom": {"host": "127.0.0.1", "port": 0},
            "http": {"port": None},
        }
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        rasnode("import", str(folder / "in"), "-c", str(file), check=True)
    return folder


def _heed_interrupts() -> None:
    """A command heeds SIGINT, even if whoever runs these tests in the background does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(folder: Path, place: str, line: str) -> tuple[int, str]:
    """Exit code and stderr of a command that gets SIGINT at one place.

    Args:
        place: a module that it imports, or a function that it calls, as `module:function`.
        line: its arguments; `.` stands for the folder, `@` for -c and the configuration.
    """
    arguments = line.replace("@", "-c ./config.yaml").replace("./", f"{folder}/").split()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, place, *arguments],
        check=False, cwd=ROOT, start_new_session=True, capture_output=True, text=True,
        timeout=60, preexec_fn=_heed_interrupts,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("typer", "--help"),
        ("sqlalchemy", "status @"),
        ("node.daemon.daemon", "serve @"),
        ("numpy", "convert ./in ./out"),
    ],
)
def test_while_modules_are_imported(folder: Path, module: str, line: str) -> None:
    assert interrupted(folder, module, line) == (130, "rasnode: interrupted\n")


@pytest.mark.parametrize(
    ("function", "line", "says"),
    [
        ("node.cli.convert.run:convert_series", "convert ./in ./out", ""),
        ("node.cli.archive.import_files:count_below", "import ./in @", "importing the same files"),
        ("node.cli.archive.verify:_run", "verify @", "the next `rasnode verify` goes on"),
        ("node.cli.archive.backup:Backup", "backup ./backup @", "the same command goes on"),
        (
            "node.cli.archive.reindex:rebuild",
            "reindex -c ./reindexed.yaml",
            "run `rasnode reindex` again",
        ),
        ("node.cli.demo.command:_send_and_wait", "demo --folder ./demo", ""),
    ],
)
def test_while_a_command_works(folder: Path, function: str, line: str, says: str) -> None:
    code, said = interrupted(folder, function, line)
    assert code == 130, said
    (sentence,) = (one for one in said.splitlines() if one.startswith("rasnode:"))
    assert sentence.startswith("rasnode: interrupted")
    assert says in sentence
    assert "Traceback" not in said


def test_where_python_cannot_raise() -> None:
    script = (
        "import os, signal\n"
        "from node.cli import interrupt\n"
        "interrupt.prepare()\n"
        "interrupt.raise_interrupt()\n"
        "class Finalized:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "Finalized()\n"
        "print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "rasnode: interrupted\n")


def test_a_node_that_runs_stops_in_order(folder: Path) -> None:
    code, said = interrupted(folder, "node.cli.service.serve:say", "serve @")
    assert code == 0, said
    assert "the node stops" in said
    assert "Traceback" not in said
