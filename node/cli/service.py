"""`serve` and `check-config`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Annotated

import typer

from node.cli.context import ConfigOption, JsonOption
from node.cli.output.effective import annotated, shown, sources
from node.cli.output.terminal import say, say_exactly
from node.core.errors import ConfigError
from node.core.logs import configure_logging
from node.core.output_names import check_template
from node.core.settings.contradictions import Location
from node.core.settings.file import Configuration, load_configuration
from node.core.settings.model import Settings
from node.core.system.interpreters import take_no_code_from_here, withdraw
from node.daemon.daemon import Daemon
from node.deliver.needs import secret_fault
from node.dimse.upper_layer.access.tls import server_context
from node.storage.root_lock import sole_owner

log = logging.getLogger(__name__)


def serve(
    config: ConfigOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not say what to type next.")] = False,
) -> None:
    """Run the node in the foreground until SIGTERM; SIGHUP re-reads peers and rules."""
    found = load_configuration(config, _CHECKS)
    settings = found.settings
    take_no_code_from_here()
    withdraw(found.origins.variables.values())  # they may hold secrets
    configure_logging(settings.log.format)
    log.info("%s", _origin(found))
    with sole_owner(settings.storage.root) as say_serving:
        daemon = Daemon(settings, reload=lambda: load_configuration(config, _CHECKS).settings)
        daemon.start()
        say_serving()
        if not quiet:
            for line in daemon.greeting():
                say(line)
        daemon.run()


def check_config(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Validate the configuration and print the effective settings, each with its source.

    Secrets are shown as ***.
    """
    found = load_configuration(config, _CHECKS)
    if as_json:
        whole = {**shown(found), "sources": dict(sources(found))}
        say_exactly(json.dumps(whole, indent=1))
    else:
        say_exactly(annotated(found), nl=False)


def _origin(found: Configuration) -> str:
    """Which configuration it is, for the first line of the log."""
    said = f"configuration: {found.origins.file}"
    overridden = found.origins.overridden()
    return f"{said}; set by the environment: {', '.join(overridden)}" if overridden else said


def _name_template(settings: Settings) -> Iterator[tuple[Location, str]]:
    try:
        check_template(settings.output.name)
    except ConfigError as error:
        yield ("output", "name"), str(error)


def _certificates(settings: Settings) -> Iterator[tuple[Location, str]]:
    if settings.dicom.tls is not None:
        try:
            server_context(settings.dicom.tls)
        except ConfigError as error:
            yield ("dicom", "tls"), str(error)


def _secrets(settings: Settings) -> Iterator[tuple[Location, str]]:
    for number, target in enumerate(settings.deliver):
        if target.webhook is not None and (fault := secret_fault(target.webhook)):
            yield ("deliver", number, "webhook", "secret_file"), fault


_CHECKS = (_name_template, _certificates, _secrets)
"""What the settings name has to be usable before anything runs."""
