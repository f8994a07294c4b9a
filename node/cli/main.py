"""The `rasnode` command: what there is, and how its errors read.

Each family of commands is imported when it is called for: `rasnode ls` in a loop should not pay
for the network stack and the web server.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Annotated

import typer

from node.cli.output.terminal import say
from node.core.errors import ConfigError, NodeError
from node.core.version import VERSION

FAILED, WRONG_USE = 1, 2

_COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("node.cli.service", "serve"),
    "check-config": ("node.cli.service", "check_config"),
    "status": ("node.cli.content", "status"),
    "ls": ("node.cli.content", "ls"),
    "import": ("node.cli.importing", "import_files"),
    "convert": ("node.cli.convert.command", "convert"),
    "coords": ("node.cli.images.coords", "coords"),
    "resample": ("node.cli.images.resample", "resample"),
    "demo": ("node.cli.demo.demo", "demo"),
    "doctor": ("node.cli.doctor.doctor", "doctor"),
    "conformance": ("node.cli.conformance", "conformance"),
    "reindex": ("node.cli.reindexing", "reindex"),
    "passcode": ("node.cli.passcode", "passcode"),
    "backup": ("node.cli.backup", "backup"),
    "restore": ("node.cli.backup", "restore"),
    "verify": ("node.cli.verify", "verify"),
    "result": ("node.cli.result", "result"),
    "retry": ("node.cli.series", "retry"),
    "force": ("node.cli.series", "force"),
    "hold": ("node.cli.series", "hold"),
    "rules": ("node.cli.series", "rules"),
    "replay": ("node.cli.replay", "replay"),
}

_HELP = {"help_option_names": ["-h", "--help"]}


def build(wanted: str | None) -> typer.Typer:
    """The command line with one command, or with all where none of them is named."""
    app = typer.Typer(
        name="rasnode",
        help="A DICOM destination that hands back science-ready volumes.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_global)
    for name in [wanted] if wanted in _COMMANDS else _COMMANDS:
        module, function = _COMMANDS[name]
        app.command(name, context_settings=_HELP)(getattr(import_module(module), function))
    return app


def _say_version(value: bool) -> None:
    if value:
        say(f"rasnode {VERSION}")
        raise typer.Exit


def _global(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="The version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
) -> None:
    """Options before the command; `main` looks for --debug itself."""


def main() -> None:
    """Run a command; every error is a sentence on stderr and an exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        say(f"rasnode {VERSION}")
        return
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    try:
        build(wanted)()
    except NodeError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        for line in str(error).splitlines():
            say(f"rasnode: {line}", err=True)
        sys.exit(WRONG_USE if isinstance(error, ConfigError) else FAILED)
