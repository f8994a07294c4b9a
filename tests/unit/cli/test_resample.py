"""`coords` and `resample`: the same place in every space, and only in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from node import space
from node.assemble.resampling import resample
from node.cli.commands import build
from node.convert import OutputOptions, convert_series, read_folder
from node.core.errors import AssemblyError, ConfigError, Reason
from tests.phantom import CT, Phantom, oblique, save

TURNED = Phantom(rotation=oblique((0.3, -0.2, 0.4)), sop_class=CT)
angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)


def written(phantom: Phantom, folder: Path, name: str = "one") -> Path:
    save(phantom.instances(), folder / f"in-{name}")
    (series,) = read_folder([folder / f"in-{name}"])[0]
    convert_series(series.instances, folder, name, OutputOptions(compress=False))
    return folder / f"{name}.nii"


def run(*arguments: object) -> Any:
    result = CliRunner().invoke(build(), [str(one) for one in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_point_leads_to_the_pixel_it_came_from(tmp_path: Path) -> None:
    path = written(TURNED, tmp_path)
    for k, row, column in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        lps = TURNED.affine[:3] @ [column, row, k, 1]
        text = ",".join(f"{value:.9f}" for value in lps)
        answer = json.loads(run("coords", path, f"--lps={text}", "--json"))
        assert answer["source"]["sop_instance_uid"] == TURNED.instance(k).SOPInstanceUID
        assert answer["source"]["row"] == pytest.approx(row, abs=1e-3)
        assert answer["source"]["column"] == pytest.approx(column, abs=1e-3)
        assert answer["value"] == int(TURNED.instance(k).PixelData[2 * (row * 6 + column)]) | (
            TURNED.instance(k).PixelData[2 * (row * 6 + column) + 1] << 8
        )
        ras = ",".join(map(str, answer["ras"]))
        again = json.loads(run("coords", path, f"--ras={ras}", "--json"))
        assert again["ijk"] == pytest.approx(answer["ijk"], abs=1e-3)


def test_outside_there_is_no_source(tmp_path: Path) -> None:
    answer = run("coords", written(TURNED, tmp_path), "--ijk=-1,0,0")
    assert "outside" in answer
    assert "source" not in answer


def test_one_point_and_no_other(tmp_path: Path) -> None:
    path = written(TURNED, tmp_path)
    for wrong in ([], ["--ijk=0,0,0", "--ras=1,2,3"], ["--ijk=1,2"], ["--ijk=0,0,0", "--volume=1"]):
        with pytest.raises(ConfigError):
            run("coords", path, *wrong)


@pytest.mark.parametrize("ending", ["mrk.json", "fcsv"])
def test_points_of_slicer_lead_to_pixels_and_back(tmp_path: Path, ending: str) -> None:
    path = written(TURNED, tmp_path)
    lps = [TURNED.affine[:3] @ [column, row, k, 1] for k, row, column in ((0, 0, 0), (3, 4, 5))]
    points = [space.Point(f"F-{n}", tuple(one.tolist())) for n, one in enumerate(lps)]
    file = tmp_path / f"in.{ending}"
    space.write_points(file, [space.Markup("Fiducial", tuple(points))], "RAS")
    out = tmp_path / f"out.{ending}"
    told = json.loads(run("coords", path, "--points", file, "--json", "-o", out))["points"]
    assert [one["label"] for one in told] == ["F-0", "F-1"]
    for one, k in zip(told, (0, 3), strict=True):
        assert one["source"]["sop_instance_uid"] == TURNED.instance(k).SOPInstanceUID
    back = space.points_array(space.read_points(out))
    assert np.allclose(back, lps, atol=1e-6)
    assert "LPS" in out.read_text()
    run("coords", path, "--points", file, "-o", tmp_path / "list.json")
    listed = json.loads((tmp_path / "list.json").read_text())["points"]
    assert listed[1]["lps"] == pytest.approx(lps[1], abs=1e-3)
    assert listed[1]["ijk"] == told[1]["ijk"]
    assert "F-1" in run("coords", path, "--points", file)


def test_the_matrix_of_a_slice_is_told(tmp_path: Path) -> None:
    path = written(TURNED, tmp_path)
    answer = json.loads(run("coords", path, "--ijk=1,2,1", "--json"))
    told = answer["slice"]
    (name,) = (key for key in told if "_to_" in key)
    left = np.array(told[name]) @ [*np.delete([1, 2, 1], "ijk".index(told["axis"])), 1]
    rows = ["lps".index(letter) for letter in name[-2:]]
    assert left[:2] == pytest.approx(np.array(answer["lps"])[rows], abs=1e-3)
    assert name.replace("_", " ") in run("coords", path, "--ijk=1,2,1")


def test_on_the_grid_of_another_each_voxel_keeps_its_place(tmp_path: Path) -> None:
    moving = written(TURNED, tmp_path)
    wide = TURNED.but(origin=(-21.5, -33.0, 9.0), rotation=np.eye(3), series="1.2.3")
    fixed = written(wide, tmp_path, "two")
    run("resample", moving, tmp_path / "out.nii", "--like", fixed)
    out = nib.load(tmp_path / "out.nii")
    assert out.shape == nib.load(fixed).shape
    assert (out.affine == nib.load(fixed).affine).all()
    source, affine = nib.load(moving), nib.load(moving).affine
    expected = resample(np.asanyarray(source.dataobj), affine, out.affine, out.shape)
    assert (np.asanyarray(out.dataobj) == expected).all()


def test_other_frames_of_reference_are_refused(tmp_path: Path) -> None:
    moving = written(TURNED, tmp_path)
    other = TURNED.but(series="1.2.3", attributes={"FrameOfReferenceUID": "1.2.4"})
    fixed = written(other, tmp_path, "two")
    with pytest.raises(AssemblyError) as caught:
        run("resample", moving, tmp_path / "out.nii", "--like", fixed)
    assert caught.value.reason is Reason.FRAME_OF_REFERENCE
    assert not (tmp_path / "out.nii").exists()
    run("resample", moving, tmp_path / "out.nii", "--like", fixed, "--any-frame-of-reference")


def test_isotropic_over_the_same_field_of_view(tmp_path: Path) -> None:
    moving = written(TURNED, tmp_path)
    run("resample", moving, tmp_path / "out.nii", "--spacing", "1")
    out, source = nib.load(tmp_path / "out.nii"), nib.load(moving)
    assert space.voxel_sizes(out.affine) == pytest.approx((1, 1, 1), abs=1e-5)
    assert out.shape == tuple(
        np.ceil(np.array(source.shape) * space.voxel_sizes(source.affine) - 1e-3)
    )
    middle = [space.to_world(i.affine, (np.array(i.shape) - 1) / 2) for i in (out, source)]
    assert np.allclose(*middle, atol=1e-4)
    assert json.loads((tmp_path / "out.json").read_text())["ResampledFrom"] == "one.nii"


@settings(deadline=None, max_examples=40)
@given(angles)
def test_its_own_spacing_is_its_own_grid(turned: tuple[float, float, float]) -> None:
    affine = Phantom(rotation=oblique(turned)).affine
    for made in (
        space.respaced_grid(affine, (6, 5, 4), (1.5, 2.0, 3.0)),
        space.orthogonal_grid(affine, (6, 5, 4), 2),
    ):
        assert np.allclose(made[0], affine, atol=1e-9)
        assert made[1] == (6, 5, 4)


@settings(deadline=None, max_examples=40)
@given(angles, st.floats(-2, 2))
def test_a_tilted_grid_is_held_by_a_square_one(
    turned: tuple[float, float, float], shear: float
) -> None:
    affine = Phantom(rotation=oblique(turned), shear=shear).affine
    square, shape = space.orthogonal_grid(affine, (6, 5, 4), 2)
    assert not space.is_sheared(square)
    assert space.voxel_sizes(square) == pytest.approx((1.5, 2.0, 3.0))
    corners = np.array(np.meshgrid([0, 5], [0, 4], [0, 3])).reshape(3, -1).T
    inside = space.to_voxel(square, space.to_world(affine, corners))
    assert (inside > -0.01).all()
    assert (inside < np.array(shape) - 1 + 0.01).all()
    assert shape[2] == 4
