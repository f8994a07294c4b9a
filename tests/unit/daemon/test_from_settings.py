"""What a reload can apply, and what the parts of the node get from the settings."""

from __future__ import annotations

import pytest

from node.core.settings.model import Settings
from node.daemon import from_settings


def settings(**values: object) -> Settings:
    return Settings.model_validate(values)


def test_a_reload_names_what_needs_a_restart() -> None:
    old = settings(dicom={"port": 11112}, output={"compress": True})
    new = settings(
        dicom={"port": 11113, "ae_title": "OTHER", "accept": "known"},
        output={"compress": False},
    )
    assert from_settings.changed_until_restart(old, new) == [
        "dicom.port",
        "dicom.ae_title",
        "output",
    ]
    assert from_settings.changed_until_restart(old, old) == []


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("10.0.0.5", "10.0.0.5")],  # noqa: S104
)
def test_a_server_on_every_address_is_reached_over_the_loopback(host: str, address: str) -> None:
    assert from_settings.local_address(host) == address
