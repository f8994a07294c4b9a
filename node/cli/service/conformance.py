"""`conformance`: prints the DICOM Conformance Statement of this version and configuration."""

from __future__ import annotations

from node.cli.context import ConfigOption
from node.cli.output.terminal import say_exactly
from node.core.settings.file import load_settings
from node.dimse.scp.conformance import statement


def conformance(config: ConfigOption = None) -> None:
    """Print the DICOM Conformance Statement.

    It is generated from the running code and the configuration, in the outline of PS3.2.
    """
    say_exactly(statement(load_settings(config).dicom), nl=False)
