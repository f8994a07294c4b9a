"""`check-config`: validates the configuration and prints the settings in effect."""

from __future__ import annotations

import json

from node.cli.context import ConfigOption, JsonOption
from node.cli.output.terminal import say_exactly
from node.cli.service.configuration_checks import CHECKS
from node.core.settings.effective import annotated, shown, sources
from node.core.settings.file import load_configuration


def check_config(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the configuration and print the settings in effect.

    Each setting is printed with its source: the file, an environment variable or the default.
    Secrets are printed as ***.
    """
    found = load_configuration(config, CHECKS)
    if as_json:
        whole = {**shown(found), "sources": dict(sources(found))}
        say_exactly(json.dumps(whole, indent=1))
    else:
        say_exactly(annotated(found), nl=False)
