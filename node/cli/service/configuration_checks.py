"""What else has to be usable in the configuration before a node starts with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.core.errors import ConfigError
from node.core.output_names import check_template
from node.core.settings.contradictions import Location
from node.core.settings.model import Settings
from node.deliver.target_checks import secret_fault
from node.dimse.upper_layer.access.tls import server_context


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


CHECKS: Final = (_name_template, _certificates, _secrets)
"""For `load_configuration`: each yields the keys that cannot be used, and why."""
