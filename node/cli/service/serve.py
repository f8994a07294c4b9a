"""`serve`: the node in the foreground."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from node.cli.context import ConfigOption
from node.cli.output.terminal import say
from node.cli.service.configuration_checks import CHECKS
from node.core.logs import configure_logging
from node.core.settings.file import Configuration, load_configuration
from node.core.system.interpreters import take_no_code_from_here, withdraw
from node.daemon.daemon import Daemon
from node.storage.root_lock import sole_owner

log = logging.getLogger(__name__)


def serve(
    config: ConfigOption = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Do not print addresses and first steps at the start.")
    ] = False,
) -> None:
    """Run the node until SIGTERM or Ctrl-C.

    The node stays in the foreground and logs to stderr. SIGHUP makes it read the peers and the
    rules of the configuration again.
    """
    found = load_configuration(config, CHECKS)
    settings = found.settings
    take_no_code_from_here()
    withdraw(found.origins.variables.values())  # they may hold secrets
    configure_logging(settings.log.format)
    log.info("%s", _origin(found))
    with sole_owner(settings.storage.root) as say_serving:
        configure_logging(settings.log.format, settings.storage.root.absolute())
        daemon = Daemon(found, reload=lambda: load_configuration(config, CHECKS))
        daemon.start()
        say_serving()
        if not quiet:
            for line in daemon.greeting():
                say(line)
        daemon.run()


def _origin(found: Configuration) -> str:
    """Which configuration it is, for the first line of the log."""
    sentence = f"configuration: {found.origins.file}"
    overridden = found.origins.overridden()
    return (
        f"{sentence}; set by the environment: {', '.join(overridden)}" if overridden else sentence
    )
