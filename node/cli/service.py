"""`serve` and `check-config`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
import yaml

from node.cli.opening import ConfigOption, JsonOption
from node.config import Settings
from node.config_file import load_settings
from node.daemon import Daemon
from node.dimse.tls import server_context
from node.logs import configure_logging
from node.naming import check_template
from node.ownership import sole_owner


def serve(
    config: ConfigOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not say what to type next.")] = False,
) -> None:
    """Run the node in the foreground until SIGTERM; SIGHUP re-reads peers and rules."""
    settings = _usable(config)
    configure_logging(settings.log.format)
    with sole_owner(settings.storage.root) as say_serving:
        daemon = Daemon(settings, reload=lambda: load_settings(config))
        daemon.start()
        say_serving()
        if not quiet:
            for line in daemon.greeting():
                typer.echo(line)
        daemon.run()


def check_config(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Validate the configuration and print the effective settings."""
    settings = _usable(config).model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(settings, indent=1))
    else:
        typer.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), nl=False)


def _usable(config: ConfigOption) -> Settings:
    """The settings, with the name template and the files of TLS looked at before anything runs."""
    settings = load_settings(config)
    check_template(settings.output.name)
    if settings.dicom.tls is not None:
        server_context(settings.dicom.tls)
    return settings
