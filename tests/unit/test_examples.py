"""The examples in docstrings are what the code does."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = (
    "node.assemble.order.dicom_times",
    "node.assemble.sidecar.diffusion",
    "node.assemble.sidecar.pet_decay",
    "node.assemble.space",
    "node.assemble.stacks.geometry",
    "node.assemble.stacks.grouping",
    "node.assemble.vendors.siemens.protocol",
    "node.convert.load",
    "node.convert.naming.bids",
    "node.core.output_names",
    "node.core.query_keys",
    "node.core.records",
    "node.core.settings.environment",
    "node.core.settings.host_names",
    "node.core.settings.model",
    "node.dicom.value_decoding",
    "node.dicom.persons",
    "node.dicom.matching.query",
    "node.dicom.matching.wildcards",
    "node.dicom.matching.date_time_ranges",
    "node.dicom.matching.identifier",
    "node.dicom.charsets",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    results = doctest.testmod(import_module(name))
    assert results.attempted
    assert not results.failed
