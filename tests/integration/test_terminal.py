"""Whatever stands in a DICOM attribute, an AE title or a file's name, no command lets it act on a
terminal; JSON has it as it is."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import yaml
from pydicom import dcmread

from node.core.plain_text import plain
from tests.commands import rasnode
from tests.small import small_ct

EVIL = "a\x1b[2Jb\x07c\x9b31md\x85e\u202egnp.exe\u2066f\u2028g\x7fh"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evil")
    for path in small_ct(folder / "in", 3, announced=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom knows that they are not allowed
            image = dcmread(path)
            image.SpecificCharacterSet = "ISO_IR 192"
            image.SeriesDescription = image.StudyDescription = EVIL
            image.PatientID = image.PatientName = EVIL
            image.Modality = "C\x1bT"
            image.save_as(path)
    (folder / "in" / "no\x1b]0;dicom\u202e.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    settings = {
        "storage": {"root": str(folder / "data"), "minimum_free": "1 MiB"},
        "deliver": [{"name": "all", "folder": {"path": str(folder / "away")}}],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    done = rasnode("import", str(folder / "in"), "-c", str(folder / "config.yaml"))
    harmless(done.stdout + done.stderr)
    assert "not imported" in done.stdout
    return folder


def harmless(said: str) -> None:
    acting = {char for char in said if not char.isprintable()} - {"\n", "\t"}
    assert not acting, (acting, said)


def ask(folder: Path, *arguments: str) -> str:
    done = rasnode(*arguments, "-c", str(folder / "config.yaml"))
    harmless(done.stdout + done.stderr)
    assert done.stdout
    return done.stdout


def test_status_as_lines_and_as_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in ("100", "250"):
        monkeypatch.setenv("COLUMNS", columns)
        assert "gnp.exe" in ask(folder, "status").replace("\n", "")


def test_ls(folder: Path) -> None:
    for level in ("patient", "study", "series", "instance"):
        lines = ask(folder, "ls", "--level", level).splitlines()
        assert len(lines) == (3 if level == "instance" else 1)


def test_json_is_exact(folder: Path) -> None:
    (series,) = json.loads(ask(folder, "status", "--json"))["series"]
    assert series["description"] == json.loads(ask(folder, "ls", "--json"))["description"]
    assert "\u202egnp.exe" in series["description"]


def test_one_series(folder: Path) -> None:
    (series,) = json.loads(ask(folder, "status", "--json"))["series"]
    uid = series["series_instance_uid"]
    ask(folder, "rules", "--series", uid)
    ask(folder, "hold", uid)
    ask(folder, "ls", "--history", uid)
    ask(folder, "replay")


def test_doctor(folder: Path) -> None:
    ask(folder, "doctor", "--only", "deliveries")


def test_convert(folder: Path, tmp_path: Path) -> None:
    for arguments in (["-v", "2"], ["-f", "%d_%p_%i"], ["-q", "l"]):
        done = rasnode("convert", *arguments, str(folder / "in"), str(tmp_path / "out"))
        harmless(done.stdout + done.stderr)
        assert done.stdout
        assert "dicom" in done.stderr or arguments[0] == "-q"


def test_what_is_left_of_text() -> None:
    assert plain(EVIL) == "a?[2Jb?c?31md?e?gnp.exe?f g?h"
    assert plain("Müller\u3000日本 é", keep="") == "Müller 日本 é"
    assert plain("a\tb", keep="\t") == "a\tb"
