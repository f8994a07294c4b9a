"""Options of `rasnode convert`: dcm2niix's letters, files of defaults, and unforeseen errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
from click.testing import Result
from typer.testing import CliRunner

import node.cli.convert.run
import node.convert.folder
from node.cli.commands import build
from node.convert import Conversion
from node.core.errors import ConfigError, NodeError
from node.core.settings.file import load_settings
from tests.phantom import CT, Phantom, save

DATED = {
    "PatientName": "Doe^John",
    "StudyDate": "20200102",
    "StudyTime": "030405",
    "StudyID": "9",
    "StationName": "MR1",
}


def invoke(*words: object) -> Result:
    """Run rasnode; the words before `convert` are for all commands."""
    found = [str(word) for word in words]
    return CliRunner().invoke(build(), found)


def convert(*words: object) -> Result:
    return invoke("convert", *words)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(Phantom(attributes=DATED).instances(), tmp_path / "in")
    return tmp_path / "in"


def files_in(folder: Path) -> set[str]:
    return {"".join(path.suffixes) for path in folder.iterdir()}


# --------------------------------------------------------------------- letters
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("-z maybe", "-z, --compress: one of y, o, i, n, not 'maybe'"),
        ("-z 3", "fslsplit"), ("-m 3", "one of"), ("-v 7", "one of"), ("-w 3", "one of"),
        ("-b q", "one of"), ("-ba q", "one of"), ("-i q", "one of"), ("-a q", "one of"),
        ("-e y", "only NIfTI"), ("-e j", "only NIfTI"), ("-g y", "config.yaml"),
        ("-l y", "integers"), ("-l n", "integers"), ("-p o", "scale"), ("-r y", "rasnode import"),
        ("-x y", "measured"), ("-x i", "RAS order"), ("-u", "new versions"), ("-br x", "sub-%i"),
        ("--terse", "--terse"), ("--xml", "Slicer"), ("--progress y", "Slicer"),
        ("--big-endian y", "little-endian"), ("--level 12", "less than or equal to 9"),
        ("--level x", "integer"), ("-d 100", "less than or equal to 99"),
        ("-f %q", "%q is not a code"),
        ("-f %H", "BIDS"), ("--defaults nowhere.ini", "nowhere.ini"),
        ("--config nowhere.yaml", "nowhere.yaml"), ("-s q", "one of"), ("-t q", "one of"),
        ("-q q", "one of"), ("--defaults a --config b", "either"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_found_before_any_work(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, says: str
) -> None:
    monkeypatch.setattr(
        "node.cli.convert.command.read", lambda *_, **__: pytest.fail("it has read")
    )
    done = convert(*words.split(), source, tmp_path / "out")
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        ("-z y", ".nii.gz"), ("-z o", ".nii.gz"), ("-z i", ".nii.gz"), ("-z N", ".nii"),
        ("-z 0", ".nii"), ("-m 0", ".nii.gz"), ("-m 2", ".nii.gz"), ("-a y", ".nii.gz"),
        ("-e n", ".nii.gz"), ("-g n", ".nii.gz"), ("-l o", ".nii.gz"), ("-r n", ".nii.gz"),
        ("-x n", ".nii.gz"), ("--progress n", ".nii.gz"), ("--big-endian o", ".nii.gz"),
        ("--ignore_trigger_times", ".nii.gz"), ("-v 0", ".nii.gz"), ("-q n", ".nii.gz"),
        ("-5", ".nii.gz"), ("-d 5", ".nii.gz"), ("-i o", ".nii.gz"),
    ],
)  # fmt: skip
def test_letters_that_mean_the_same_are_taken(
    source: Path, tmp_path: Path, words: str, ending: str
) -> None:
    done = convert(*words.split(), "-f", "x", source, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert ending in files_in(tmp_path / "out")


def test_merging_is_y_or_1(source: Path, tmp_path: Path) -> None:
    for echo in (1, 2):
        told = {"EchoTime": 10.0 * echo, "EchoNumbers": echo, "AcquisitionNumber": echo}
        datasets = Phantom(series="1.2.9", attributes=told).instances()
        for dataset in datasets:
            dataset.SOPInstanceUID += f".{echo}"
            dataset.InstanceNumber += 10 * echo
        save(datasets, tmp_path / f"echoes/{echo}")
    shapes = {}
    for value in ("0", "1", "2", "y"):
        done = convert("-m", value, "--json", tmp_path / "echoes", tmp_path / f"out{value}")
        volumes = json.loads(done.stdout)["series"][0]["volumes"]
        shapes[value] = [len(volume["shape"]) for volume in volumes]
    assert shapes == {"0": [3, 3], "1": [4], "2": [3, 3], "y": [4]}


@pytest.mark.parametrize(
    ("value", "there"), [("y", set()), ("o", {"StudyDate", "StudyID"}), ("n", set(DATED))]
)
def test_sidecars_tell_as_much_as_is_asked_for(
    source: Path, tmp_path: Path, value: str, there: set[str]
) -> None:
    assert convert("-ba", value, "-f", "x", source, tmp_path / "out").exit_code == 0
    fields = json.loads((tmp_path / "out/x.json").read_text())
    assert there <= set(fields)
    assert ("PatientName" in fields) is ("StationName" in fields) is (value == "n")
    assert ("StudyDate" in fields) is (value != "y")


def test_a_comment_is_where_dcm2niix_has_it(source: Path, tmp_path: Path) -> None:
    convert("-c", "a" * 30, "-f", "x", source, tmp_path / "out")
    header = nib.load(tmp_path / "out/x.nii.gz").header
    assert header["aux_file"].item() == b"a" * 23
    assert header["descrip"].item() == b"a" * 30


def test_trigger_times_say_nothing_when_they_are_to_be_ignored(tmp_path: Path) -> None:
    datasets = Phantom(volumes=2).instances()
    for dataset in datasets:
        dataset.TriggerTime = 500 * dataset.TemporalPositionIdentifier
        dataset.InstanceNumber = 1
        del dataset.TemporalPositionIdentifier
    save(datasets, tmp_path / "in")
    assert convert("--json", tmp_path / "in", tmp_path / "out").exit_code == 0
    done = convert("--ignore_trigger_times", "--json", tmp_path / "in", tmp_path / "b")
    (series,) = json.loads(done.stdout)["series"]
    assert series["volumes"] == []
    assert series["refused"]


@pytest.mark.parametrize(("value", "listed"), [("y", False), ("l", True)])
def test_a_search_converts_nothing(source: Path, value: str, listed: bool) -> None:
    done = convert("-q", value, source)
    assert done.exit_code == 0, done.output
    assert "Found 4 DICOM files of 1 series." in done.stdout
    assert ("00000.dcm" in done.stdout) is listed


def test_single_slices_are_ignored_with_the_derived(source: Path, tmp_path: Path) -> None:
    save(Phantom(series="1.2.9", size=(6, 5, 1)).instances(), source / "flat")
    for value, count in (("n", 2), ("y", 1)):
        done = convert("-i", value, "--json", source, tmp_path / f"out{value}")
        report = json.loads(done.stdout)
        assert sum(len(series["volumes"]) for series in report["series"]) == count


def test_more_is_said_of_more_verbosity(source: Path, tmp_path: Path) -> None:
    save(Phantom(attributes=DATED).instances(), source / "again")
    said = [convert("-v", value, source, tmp_path / value).output for value in "012"]
    assert [text.count("left out") for text in said] == [0, 0, 4]
    assert len(said[0].splitlines()) < len(said[1].splitlines()) < len(said[2].splitlines())


def test_version_and_help_have_their_letters() -> None:
    assert convert("--version").stdout.startswith("rasnode ")
    assert "--write-behavior" in convert("-h").stdout


# -------------------------------------------------------------------- defaults
def test_defaults_come_from_the_configuration(source: Path, tmp_path: Path) -> None:
    Path("config.yaml").write_text(
        "dicm: {}\nconvert:\n  filename: 'a%s'\n  compress: no\n  sidecar: n\n"
    )
    assert convert(source, tmp_path / "out").exit_code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a7.nii", "a7.png", "a7.manifest.json"}
    Path("config.yaml").rename("other.yaml")
    assert convert("--config", "other.yaml", "-z", "y", source, tmp_path / "b").exit_code == 0
    assert (tmp_path / "b/a7.nii.gz").exists()  # the command line wins
    assert convert("-g", "i", "--config", "other.yaml", source, tmp_path / "c").exit_code == 0
    assert (tmp_path / "c/0007.nii.gz").exists()


def test_the_command_line_wins_with_a_default_too(source: Path, tmp_path: Path) -> None:
    Path("config.yaml").write_text("convert: {compress: n}\n")
    assert convert("-z", "y", "-f", "x", source, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/x.nii.gz").exists()


def test_the_command_line_turns_off_what_the_configuration_turns_on(
    source: Path, tmp_path: Path
) -> None:
    Path("config.yaml").write_text("convert: {resample_tilt: true, resample_unequal: true}\n")
    tilted = Phantom(sop_class=CT, series="1.2.9", shear=1.0).instances()
    save(tilted, tmp_path / "tilted")
    words = ("-f", "x", tmp_path / "tilted")
    for more, sheared in ((), False), (("--no-resample-tilt",), True):
        assert convert(*more, *words, tmp_path / str(sheared)).exit_code == 0
        manifest = json.loads((tmp_path / str(sheared) / "x.manifest.json").read_text())
        assert manifest["sheared"] is sheared


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("my.yaml", "# mine\nfilename: a%s\ncompress: n\n"),
        (".dcm2nii.ini", "isGZ=0\nisMaximize16BitRange=2\nisBIDS=1\nfilename=a%s\n"),
    ],
)
def test_defaults_come_from_a_file_of_their_own(
    source: Path, tmp_path: Path, name: str, text: str
) -> None:
    Path(name).write_text(text)
    Path("config.yaml").write_text("convert: {filename: b%s}\n")
    assert convert("--defaults", name, source, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/a7.nii").exists()


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        ("--defaults x", "filename: a\ncompres: n\n",
         "x, line 2: there is no key 'compres'; did you mean 'compress'?"),
        ("--defaults x", "compress: 3\n", "x, line 1: compress: 3 is not available"),
        ("--defaults x", "isGZ=5\n", "x, line 1: compress: one of y, o, i, n (it is '5')"),
        ("--defaults x", "isGZ=1\nisMaximize16BitRange=1\n", "x, line 2: isMaximize16BitRange=1"),
        ("--defaults x", "isGZ=1\nhello\n", "x, line 2: it should read key=value"),
        ("--config x", "convert:\n  filename: '%q'\n", "x, line 2: convert.filename: %q is no"),
        ("--config x", "convert:\n  anonymise: y\n", "did you mean 'convert.anonymize'?"),
        ("--config x", "convert:\n  level: 12\n", "x, line 2: convert.level: input should be"),
    ],
)  # fmt: skip
def test_mistakes_in_defaults_are_told_with_their_line(
    source: Path, tmp_path: Path, words: str, text: str, says: str
) -> None:
    Path("x").write_text(text)
    done = convert(*words.split(), source, tmp_path / "out")
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_the_node_takes_the_section_and_checks_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("convert: {merge: 1}\n")
    assert load_settings(path).convert.merge == "y"
    path.write_text("convert: {merge: 5}\n")
    with pytest.raises(ConfigError, match=r"line 1: convert\.merge: one of"):
        load_settings(path)


# --------------------------------------------------------------- what nobody foresaw
@pytest.fixture
def two(source: Path) -> Path:
    save(Phantom(series="1.2.9").instances(), source / "other")
    return source


def test_an_unforeseen_error_costs_one_series(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = node.cli.convert.run.convert_series

    def broken(instances: Any, *args: Any, **named: Any) -> Conversion:
        found = real(instances, *args, **named)
        if instances[0].header.series_instance_uid == "1.2.9":
            raise ZeroDivisionError("Doe^John")
        return found

    monkeypatch.setattr(node.cli.convert.run, "convert_series", broken)
    done = convert("--json", "-z", "n", two, tmp_path / "out")
    assert isinstance(done.exception, NodeError)
    assert not isinstance(done.exception, ConfigError)  # so that it ends with 1
    whole, failed = json.loads(done.stdout)["series"]
    assert [one["reason"] for one in failed["refused"]] == ["internal-error"]
    assert "ZeroDivisionError" in failed["refused"][0]["sentence"]
    assert len(whole["volumes"]) == 1
    assert len(list((tmp_path / "out").glob("*.nii"))) == 1
    assert "Doe" not in done.output
    assert "Traceback" not in done.output
    told = invoke("--debug", "convert", two, tmp_path / "again")
    assert "Traceback" in told.stderr


def test_an_unforeseen_error_in_reading_costs_one_file(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = node.convert.folder.describe

    def broken(elements: Any) -> Any:
        header = real(elements)
        if header.series_instance_uid == "1.2.9":
            raise KeyError("Doe^John")
        return header

    monkeypatch.setattr(node.convert.folder, "describe", broken)
    done = convert(two, tmp_path / "out")
    assert isinstance(done.exception, NodeError)
    assert done.stderr.count("internal-error: An unexpected KeyError") == 4
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 1
    assert "Doe" not in done.output
