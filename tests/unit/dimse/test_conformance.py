"""The Conformance Statement says what the code does, and the copy in docs is the current one."""

from __future__ import annotations

from pathlib import Path

from node.core.query_keys import KEYS
from node.core.settings.model import Dicom
from node.dimse.scp.conformance import statement
from node.dimse.scp.services import OFFERED

COPY = Path(__file__).parents[3] / "docs" / "conformance.md"


def test_the_copy_in_docs_is_current() -> None:
    made = statement(Dicom())
    assert COPY.read_text() == made, "run: rasnode conformance > docs/conformance.md"


def test_nothing_is_left_out() -> None:
    made = statement(Dicom())
    for attribute in KEYS.values():
        assert f"| {attribute.keyword} | ({attribute.tag >> 16:04X}," in made
    for uid in OFFERED:
        assert uid in made


def test_the_configuration_shows() -> None:
    made = statement(Dicom(ae_title="HERE", port=104, accept="known", check_called_ae=True))
    for line in (
        "| AE title | HERE |",
        "| TCP port | 104 |",
        "| Called AE title | has to be the AE title above |",
    ):
        assert line in made
    several = statement(Dicom(ae_title="HERE", ae_titles=("A", "B"), check_called_ae=True))
    assert "| AE titles | HERE, A, B |" in several
    assert "| Called AE title | has to be one of those above |" in several
