"""The `rasnode` command: what there is, and how its errors read."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import click
import typer

from node.cli.content import ls, status
from node.cli.intake import import_files, reindex
from node.cli.service import check_config, serve
from node.errors import ConfigError, NodeError
from node.version import VERSION

DONE, FAILED, WRONG_USE = 0, 1, 2

app = typer.Typer(
    name="rasnode",
    help="A DICOM destination that hands back science-ready volumes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"rasnode {VERSION}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with errors.")
    ] = False,
) -> None:
    pass


app.command("serve")(serve)
app.command("check-config")(check_config)
app.command("status")(status)
app.command("ls")(ls)
app.command("import")(import_files)
app.command("reindex")(reindex)


def main() -> None:
    """Run a command; every error is a sentence on stderr and an exit code."""
    debug = "--debug" in sys.argv[1:2]
    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = WRONG_USE
    except (click.Abort, KeyboardInterrupt):
        code = FAILED
    except NodeError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            print(f"rasnode: {line}", file=sys.stderr)  # noqa: T201
        code = WRONG_USE if isinstance(error, ConfigError) else FAILED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has enough
        code = DONE
    sys.exit(code if isinstance(code, int) else DONE)
