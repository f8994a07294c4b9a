"""What `make dist` hands out: sdist, wheel and the licences of all pinned packages."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from node.core.version import VERSION

ROOT = Path(__file__).parents[2]
SHARED = f"rasnode-{VERSION}.data/data/share/rasnode"


def wanted() -> set[str]:
    """The files beside the program that an administrator needs."""
    folders = [path for name in ("docs", "systemd") for path in (ROOT / name).rglob("*")]
    files = {str(path.relative_to(ROOT)) for path in folders if path.is_file()}
    return files | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config.yaml"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with sdist and wheel, made from a copy of the sources."""
    folder = tmp_path_factory.mktemp("dist")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("node", "docs", "systemd", "requirements"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, sources)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(sources)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_sdist_has_documentation_configuration_and_units(made: Path) -> None:
    with tarfile.open(made / f"rasnode-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert wanted() <= names
    assert {"requirements/run.txt", "requirements/notices.py", "Makefile", "LICENSE"} <= names
    assert "node/py.typed" in names


def test_the_wheel_has_documentation_configuration_and_units(made: Path) -> None:
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{SHARED}/{name}" for name in wanted()} <= names
    assert f"rasnode-{VERSION}.dist-info/licenses/LICENSE" in names
    assert any(name.startswith("node/web/static/") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def test_the_changelog_has_a_dated_section_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
    headings = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_notices_have_every_pinned_package_with_its_licence() -> None:
    path = ROOT / "requirements/notices.py"
    spec = importlib.util.spec_from_file_location("notices", path)
    assert spec is not None
    assert spec.loader is not None
    notices = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notices)
    requirements = (ROOT / "requirements/run.txt").read_text()
    said = notices.notices(requirements)
    names = [requirement.name for requirement in notices.pinned(requirements)]
    assert len(names) > 40
    for name in names:
        assert re.search(rf"^{re.escape(name)} \d\S*: \S", said, re.MULTILINE), name
    assert "OpenBLAS" in said  # comes inside of numpy
    assert "Apache License" in said
