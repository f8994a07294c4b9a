"""What starts often imports few of the large libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

LARGE = ("fastapi", "nibabel", "numpy", "pydicom", "pynetdicom", "scipy", "sqlalchemy")


@pytest.mark.parametrize(
    "module", ["node", "node.core.settings.file", "node.core.logs", "node.cli.main"]
)
def test_no_large_library_is_loaded(module: str) -> None:
    assert loaded_by(module, LARGE) == []


def loaded_by(module: str, libraries: tuple[str, ...]) -> list[str]:
    """Those libraries that a module imports."""
    code = f"import sys, {module}; print(*set({libraries!r}).intersection(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_a_decoder_loads_codecs_and_no_conversion() -> None:
    others = ("nibabel", "scipy", "sqlalchemy", "highdicom", "node.convert.series")
    assert loaded_by("node.convert.decoding.child", others) == []


def test_a_result_loads_no_conversion_and_no_other_kind_of_result() -> None:
    others = ("scipy.ndimage", "PIL.ImageFont", "node.convert.series", "node.convert.folder")
    assert loaded_by("node.cli.result, node.convert.results.segmentation.seg", others) == []
