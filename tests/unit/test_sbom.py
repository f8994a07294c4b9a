"""The list of what the node is made of, as `make dist` writes it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.core.version import VERSION

ROOT = Path(__file__).parents[2]


def made(folder: Path) -> list[Path]:
    """Two of them, made by themselves."""
    programs = Path(sys.executable).parent
    if shutil.which("cyclonedx-py", path=str(programs)) is None:
        pytest.skip("needs cyclonedx-py (requirements/test.txt)")
    files = [folder / name / "sbom.json" for name in ("one", "other")]
    running = [
        subprocess.Popen(
            ["make", "-s", "sbom", f"SBOM={file}", f"BIN={programs}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for file in files
    ]
    for process in running:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    return files


def test_the_list_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    one, other = made(tmp_path)
    assert one.read_bytes() == other.read_bytes()
    said = json.loads(one.read_bytes())  # cyclonedx-py has compared it with the schema
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.6")
    assert said["metadata"]["timestamp"]
    node = said["metadata"]["component"]
    assert (node["name"], node["version"], node["type"]) == ("rasnode", VERSION, "application")
    assert node["licenses"][0]["license"]["id"] == "Apache-2.0"
    listed = {(each["name"], each["version"], each["purl"]) for each in said["components"]}
    lines = (ROOT / "requirements/run.txt").read_text()
    pinned = re.findall(r"^([a-z0-9.-]+)==([^ ]+)", lines, re.MULTILINE)
    assert len(pinned) > 40
    assert listed == {(name, version, f"pkg:pypi/{name}@{version}") for name, version in pinned}
    for each in said["components"]:
        assert each["externalReferences"][0]["hashes"], each["name"]
