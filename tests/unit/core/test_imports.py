"""What every command imports first loads none of the large libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

LARGE = ("fastapi", "nibabel", "numpy", "pydicom", "pynetdicom", "scipy", "sqlalchemy")


@pytest.mark.parametrize(
    "module", ["node", "node.core.settings.file", "node.core.logs", "node.cli.main"]
)
def test_no_large_library_is_loaded(module: str) -> None:
    code = f"import sys, {module}; print(*set({LARGE!r}).intersection(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
