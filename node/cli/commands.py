"""The commands of `rasnode`: their names and summaries, and how their errors read.

The module of a command is imported when the command is called: `rasnode --help`, and `rasnode ls`
in a loop, do not wait for the network stack and the web server.
"""

from __future__ import annotations

import gc
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command

from node.cli.interrupt import EXIT_CODE, exit_at_once, raise_interrupt
from node.cli.output.terminal import say
from node.core.errors import ConfigError, NodeError
from node.core.version import VERSION

FAILED, WRONG_USE = 1, 2

_HELP: Final = {"help_option_names": ["-h", "--help"]}


class Command(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        module, function: where it is.
        summary: the first line of the function's docstring.
    """

    module: str
    function: str
    summary: str


COMMANDS: Final[dict[str, Command]] = {
    "serve": Command("node.cli.service.serve", "serve", "Run the node until SIGTERM or Ctrl-C."),
    "check-config": Command(
        "node.cli.service.check_config",
        "check_config",
        "Check the configuration and print the settings in effect.",
    ),
    "status": Command(
        "node.cli.series.status", "status", "Show the series, their states and the free disk space."
    ),
    "ls": Command("node.cli.series.ls", "ls", "List patients, studies, series or instances."),
    "import": Command(
        "node.cli.archive.import_files", "import_files", "Import DICOM files from a disk."
    ),
    "find": Command("node.cli.fetching.find", "find", "Ask a peer what it has (C-FIND)."),
    "pull": Command(
        "node.cli.fetching.pull", "pull", "Fetch studies from a peer, proven complete."
    ),
    "pulls": Command(
        "node.cli.fetching.pulls", "pulls", "List, pause, resume, cancel or retry pull jobs."
    ),
    "convert": Command(
        "node.cli.convert.command", "convert", "Convert DICOM files to NIfTI, without a node."
    ),
    "coords": Command(
        "node.cli.images.coords", "coords", "Show a point as voxel, RAS, LPS and DICOM pixel."
    ),
    "resample": Command(
        "node.cli.images.resample", "resample", "Resample a NIfTI image to another grid."
    ),
    "demo": Command(
        "node.cli.demo.command", "demo", "Send two phantom studies to a temporary node."
    ),
    "doctor": Command(
        "node.cli.doctor.command", "doctor", "Check this machine and say what to correct."
    ),
    "conformance": Command(
        "node.cli.service.conformance", "conformance", "Print the DICOM Conformance Statement."
    ),
    "reindex": Command(
        "node.cli.archive.reindex", "reindex", "Rebuild the index from the archived files."
    ),
    "passcode": Command(
        "node.cli.service.passcode", "passcode", "Hash a passcode for dicom.identity.users."
    ),
    "user": Command(
        "node.cli.service.user", "user", "Say who may use page and API: add, remove, list, token."
    ),
    "backup": Command(
        "node.cli.archive.backup", "backup", "Back up everything that cannot be made again."
    ),
    "restore": Command(
        "node.cli.archive.restore", "restore", "Restore a backup into an empty storage root."
    ),
    "verify": Command(
        "node.cli.archive.verify", "verify", "Compare all files with their recorded checksums."
    ),
    "result": Command(
        "node.cli.result", "result", "Make a mask, map or image into DICOM on its source slices."
    ),
    "retry": Command("node.cli.series.retry_force_hold", "retry", "Assemble a series again."),
    "force": Command(
        "node.cli.series.retry_force_hold", "force", "Assemble an incomplete series as it stands."
    ),
    "hold": Command(
        "node.cli.series.retry_force_hold", "hold", "Keep a series from being assembled."
    ),
    "protocol": Command(
        "node.cli.series.protocol",
        "protocol",
        "Print a protocol of a session, or compare with one.",
    ),
    "rules": Command(
        "node.cli.series.rules", "rules", "Show which rules and deliveries apply to a series."
    ),
    "replay": Command(
        "node.cli.series.replay", "replay", "Try other completion settings on recorded arrivals."
    ),
}


class _Commands(TyperGroup):
    """Imports a command when it is called, or when its options are to be completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name, imported."""
        name, found, rest = super().resolve_command(ctx, args)
        if found is not None and found.name in COMMANDS:
            found = _imported(found.name)
        return name, found, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it with what the command says to it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            exit_at_once()
            say(f"rasnode: {str(interrupt) or 'interrupted'}", err=True)
            raise typer.Exit(EXIT_CODE) from None


def build() -> typer.Typer:
    """The command line, with the names and summaries of all commands."""
    app = _typer(cls=_Commands, no_args_is_help=True, add_completion=True)
    app.callback()(_global)
    for name, command in COMMANDS.items():
        app.command(name, help=command.summary)(_not_imported)
    return app


def _imported(name: str) -> Any:
    module, function, _ = COMMANDS[name]
    app = getattr(import_module(module), function)
    if not isinstance(app, typer.Typer):  # else a group of commands
        single = _typer(add_completion=False)
        single.command(name, context_settings=_HELP)(app)
        app = single
    command = get_command(app)
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    raise_interrupt()
    return command


def _typer(**options: Any) -> typer.Typer:
    return typer.Typer(
        name="rasnode",
        help="A DICOM node that archives what it receives and converts it to RAS NIfTI.",
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=_HELP,
        **options,
    )


def _not_imported() -> None:
    """Stands for each command until it is called."""


def _say_version(value: bool) -> None:
    if value:
        say(f"rasnode {VERSION}")
        raise typer.Exit


def _global(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback with errors.")] = False,
) -> None:
    """Options before the command; `run` looks for --debug itself."""


def run() -> None:
    """Run the command that `sys.argv` names; every error is a sentence and an exit code."""
    try:
        build()(prog_name="rasnode")
    except NodeError as error:
        if "--debug" in sys.argv[1:]:
            traceback.print_exc()
        for line in str(error).splitlines():
            say(f"rasnode: {line}", err=True)
        sys.exit(WRONG_USE if isinstance(error, ConfigError) else FAILED)
