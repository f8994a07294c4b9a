"""`conformance`: prints the DICOM Conformance Statement of this version and configuration."""

from __future__ import annotations

from node.cli.opening import ConfigOption
from node.cli.terminal import say_exactly
from node.config_file import load_settings
from node.dimse.conformance import statement


def conformance(config: ConfigOption = None) -> None:
    """Print the DICOM Conformance Statement, made from the running code and the configuration."""
    say_exactly(statement(load_settings(config).dicom), nl=False)
