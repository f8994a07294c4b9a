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
from node.web.auth.client_secret import client_secret
from node.web.http.certificate import PageCertificate


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


def _page(settings: Settings) -> Iterator[tuple[Location, str]]:
    http = settings.http
    if http.port is None:
        return
    if http.tls is not None:
        try:
            PageCertificate(http.tls)
        except ConfigError as error:
            yield ("http", "tls"), str(error)
    if http.auth is not None and http.auth.oidc is not None:
        try:
            client_secret(http.auth.oidc)
        except ConfigError as error:
            yield ("http", "auth", "oidc", "client_secret_file"), str(error)


CHECKS: Final = (_name_template, _certificates, _secrets, _page)
"""For `load_configuration`: each yields the keys that cannot be used, and why."""
