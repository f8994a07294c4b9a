"""What files of `rasnode convert` are called: as dcm2niix says, and never as another file."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from node.assemble.series import plan
from node.cli.convert.command import convert
from node.convert import read_folder
from node.convert.naming.dcm2niix import name_after
from node.convert.naming.unique import FileNames
from node.core.errors import ConfigError
from node.core.settings.filename_codes import check_codes
from tests.phantom import Phantom, oblique, save
from tests.unit.assemble.test_enhanced import enhanced

app = typer.Typer()
app.command()(convert)
PLANES = [(0.0, 0.0, 0.0), (np.pi / 2, 0.0, 0.0), (0.0, np.pi / 2, 0.0)]


def described(text: str, series: str, **more: object) -> list[Dataset]:
    phantom = Phantom(series=series, attributes={"SeriesDescription": text, **more})
    return phantom.instances()


def run(source: Path, out: Path, *words: str) -> dict[str, list[dict[str, object]]]:
    done = CliRunner().invoke(app, [*words, "--json", str(source), str(out)])
    assert done.exit_code == 0, done.output
    found: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return found


def files_of(report: dict[str, list[dict[str, object]]]) -> list[str]:
    volumes = [volume for series in report["series"] for volume in series["volumes"]]
    return [file for volume in volumes for file in volume["files"]]


def names_in(folder: Path, ending: str = ".nii") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(f"*{ending}"))


# ------------------------------------------------------------------- collisions
def test_series_of_one_name_with_several_planes_lose_nothing(tmp_path: Path) -> None:
    for number, series in enumerate(("1.2.3", "1.2.4")):
        for plane, turned in enumerate(PLANES):
            origin = (float(number), float(plane), 0.0)
            datasets = Phantom(rotation=oblique(turned), series=series, origin=origin).instances()
            for dataset in datasets:
                dataset.SOPInstanceUID = f"{series}.{plane}.{dataset.InstanceNumber}"
                dataset.SeriesDescription = "3-Plane"
            save(datasets, tmp_path / f"in/{number}{plane}")
    report = run(tmp_path / "in", tmp_path / "out", "-z", "n")
    files = files_of(report)
    assert len(names_in(tmp_path / "out")) == 6
    assert len({file.lower() for file in files}) == len(files)
    for series in report["series"]:
        for volume in series["volumes"]:
            manifest = json.loads(Path(volume["files"][-1]).read_text())
            assert manifest["sha256"] == volume["sha256"]
            assert manifest["series_instance_uid"] == series["series_instance_uid"]


def test_capitals_alone_do_not_tell_names_apart(tmp_path: Path) -> None:
    save(described("scan", "1.2.3"), tmp_path / "in/a")
    save(described("SCAN", "1.2.4"), tmp_path / "in/b")
    run(tmp_path / "in", tmp_path / "out", "-z", "n", "-f", "%d")
    names = names_in(tmp_path / "out", "")
    assert len({name.lower() for name in names}) == len(names) == 8


def test_a_description_does_not_take_the_name_of_a_manifest(tmp_path: Path) -> None:
    for first, second in (("1.2.3", "1.2.4"), ("1.2.4", "1.2.3")):
        folder = tmp_path / first
        save(described("T1", first), folder / "in/a")
        save(described("T1.manifest", second), folder / "in/b")
        report = run(folder / "in", folder / "out", "-z", "n", "-f", "%d")
        files = files_of(report)
        assert len(set(files)) == len(files) == 8
        for series in report["series"]:
            manifest = Path(series["volumes"][0]["files"][-1])
            assert (
                json.loads(manifest.read_text())["series_instance_uid"]
                == (series["series_instance_uid"])
            )


def test_names_given_once_are_given_no_more() -> None:
    names = FileNames()
    assert names.take("a/x") == "a/x"
    assert names.take("A/X") == "A/Xa"
    assert names.take("a/X.manifest") == "a/X.manifesta"
    assert names.take("sub-1/sub-1_T1w") == "sub-1/sub-1_T1w"
    assert names.take("sub-1/SUB-1_T1w") == "sub-1/SUB-1_T1wa"
    assert names.take("sub-1/sub-1_T1w") == "sub-1/sub-1_run-2_T1w"


def test_a_folder_and_a_file_do_not_share_a_name() -> None:
    names = FileNames()
    names.take("x.json/y")
    assert names.take("x") == "xa"


def test_a_series_keeps_one_name_for_its_volumes() -> None:
    names = FileNames()
    assert names.stem("scan", "1.2.3") == "scan"
    assert names.stem("Scan", "1.2.4") == "Scana"
    assert names.stem("scan", "1.2.3") == "scan"


# --------------------------------------------------------------- what is there
def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    save(described("scan", "1.2.3"), tmp_path / "in")
    words = ("-z", "n", "-f", "%d/%s")
    run(tmp_path / "in", tmp_path / "out", *words)
    image = tmp_path / "out/scan/7.nii"
    image.write_bytes(b"dear")
    (tmp_path / "out/scan").rename(tmp_path / "out/SCAN")
    run(tmp_path / "in", tmp_path / "out", *words)
    found = {name.lower() for name in names_in(tmp_path / "out")}
    assert found == {"scan/7.nii", "scan/7a.nii"}
    assert (tmp_path / "out/SCAN/7.nii").read_bytes() == b"dear"


@pytest.mark.parametrize(("behavior", "stays"), [("0", True), ("1", False)])
def test_files_are_left_or_overwritten_when_that_is_asked_for(
    tmp_path: Path, behavior: str, stays: bool
) -> None:
    save(described("scan", "1.2.3"), tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scan.nii").write_bytes(b"dear")
    report = run(tmp_path / "in", tmp_path / "out", "-z", "n", "-f", "%d", "-w", behavior)
    assert names_in(tmp_path / "out") == ["scan.nii"]
    assert ((tmp_path / "out/scan.nii").read_bytes() == b"dear") is stays
    assert len(report["series"][0]["skipped"]) == int(stays)
    assert len(report["series"][0]["volumes"]) == int(not stays)


# ----------------------------------------------------------------------- codes
@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("%m", "Si"), ("%v", "Siemens"), ("%t", "20200102030406"), ("%b", "00000.dcm"),
        ("%f", "in"), ("%D", "EPI_PE=AP_(x)"), ("%n", "Doe^John"), ("%4s", "0007"),
        ("%s__%z", "7_ep2d"), ("%g-%x", "A-B"), ("%r", "1"), ("%o", None), ("100%%", "100"),
    ],
)  # fmt: skip
def test_codes_are_those_of_dcm2niix(tmp_path: Path, template: str, name: str | None) -> None:
    attributes = {
        "Manufacturer": "SIEMENS Healthineers", "StudyDate": "20200102",
        "StudyTime": "030405.678", "PatientName": "Doe^John", "SequenceName": "*ep2d",
        "AccessionNumber": "A", "StudyID": "B",
    }  # fmt: skip
    datasets = described("EPI PE=AP  (x)", "1.2.3", **attributes)
    save(datasets, tmp_path / "in/deep")
    run(tmp_path / "in", tmp_path / "out", "-z", "n", "-f", template)
    first = min(datasets, key=lambda one: int(one.InstanceNumber))
    assert names_in(tmp_path / "out") == [f"{name or first.SOPInstanceUID}.nii"]


@pytest.mark.parametrize(
    ("maker", "short", "long"),
    [
        ("GE MEDICAL SYSTEMS", "GE", "GE"), ("Philips Medical Systems", "Ph", "Philips"),
        ("UIH", "UI", "UIH"), ("CANON_MEC", "Ca", "Canon"), ("TOSHIBA_MEC", "To", "Toshiba"),
        ("Hitachi", "Hi", "Hitachi"), ("Bruker BioSpin", "Br", "Bruker"), ("Acme", "NA", "NA"),
    ],
)  # fmt: skip
def test_makers_are_called_as_dcm2niix_calls_them(
    tmp_path: Path, maker: str, short: str, long: str
) -> None:
    save(described("x", "1.2.3", Manufacturer=maker), tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out", "-z", "n", "-f", "%m_%v")
    assert names_in(tmp_path / "out") == [f"{short}_{long}.nii"]


def test_signs_of_the_shell_stay_out_of_names(tmp_path: Path) -> None:
    save(described("a;b&c`d$e'f|g\"h<i>j!k#l*m?n", "1.2.3"), tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out", "-z", "n", "-f", "%d")
    assert names_in(tmp_path / "out") == ["a_b_c_d_e_f_g_h_i_j_k_l_m_n.nii"]


@pytest.mark.parametrize("template", ["%h", "%H/%s", "%q", "___", ""])
def test_templates_that_name_nothing_are_refused(template: str) -> None:
    with pytest.raises(ConfigError):
        check_codes(template)


def test_an_enhanced_image_has_its_instance_number(tmp_path: Path) -> None:
    made = enhanced(Phantom())
    made.InstanceNumber = 5
    save([made], tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out", "-z", "n", "-f", "%r")
    assert names_in(tmp_path / "out") == ["5.nii"]


@pytest.mark.parametrize(("multi_frame", "name"), [(False, "T_HEA_HEP"), (True, "Head_32")])
def test_the_coil_is_dcm2niix_s(tmp_path: Path, multi_frame: bool, name: str) -> None:
    made = [enhanced(Phantom())] if multi_frame else Phantom().instances()
    path = save(made, tmp_path)[0]
    header = read_folder([tmp_path])[0][0].instances[0].header
    facts = {"ReceiveCoilName": "Head_32", "ReceiveCoilActiveElements": "T:HEA;HEP"}
    (volume,) = plan([msgspec.structs.replace(header, facts=facts)]).volumes
    assert name_after("%a", volume, path) == name
