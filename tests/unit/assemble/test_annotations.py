"""Regions and points that people draw: on the right voxels, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from node import space
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.series import Conversion
from node.core.errors import Reason
from tests.phantom import ROOT, save
from tests.unit.assemble.test_labels import (
    LABELS,
    PHANTOM,
    SIZE,
    box,
    check,
    images,
    square,
    structure_set,
)

FRAME = f"{ROOT}.8"
RECTANGLE = np.array([(2.0, 3.0), (7.0, 3.0), (7.0, 6.0), (2.0, 6.0), (2.0, 3.0)])
"""Corners of pixels, from the corner of the first one: columns 2 to 6 and rows 3 to 5."""


def inside(k: int) -> np.ndarray:
    return box((k, k + 1), (3, 6), (2, 7))


def region(k: int, kind: str, data: Any) -> hd.sr.ImageRegion:
    image = hd.sr.SourceImageForRegion.from_source_image(images()[k])
    return hd.sr.ImageRegion(kind, np.array(data, float), image)


def planar(name: str, where: Any) -> Any:
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        hd.sr.TrackingIdentifier(hd.UID(), name),
        referenced_region=where,
        finding_type=codes.SCT.Neoplasm,
    )


def volumetric(name: str, **where: Any) -> Any:
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        hd.sr.TrackingIdentifier(hd.UID(), name), finding_type=codes.SCT.Neoplasm, **where
    )


def report(*measured: Any) -> Dataset:
    observer = hd.sr.ObserverContext(
        codes.DCM.Device, hd.sr.DeviceObserverIdentifyingAttributes(generate_uid())
    )
    content = hd.sr.MeasurementReport(
        hd.sr.ObservationContext(observer_device_context=observer),
        codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=measured,
    )
    made: Dataset = hd.sr.Comprehensive3DSR(
        images(), content[0], LABELS, 99, generate_uid(), 1, "Maker"
    )
    return made


def presentation(*objects: Any, k: int = 2) -> Dataset:
    layer = hd.pr.GraphicLayer("DRAWN", 1)
    drawn = hd.pr.GraphicAnnotation([images()[k]], layer, graphic_objects=list(objects))
    made: Dataset = hd.pr.GrayscaleSoftcopyPresentationState(
        images(), LABELS, 99, generate_uid(), 1, "Maker", "Model", "1", "1", "GRAPHICS",
        graphic_annotations=[drawn], graphic_layers=[layer],
    )  # fmt: skip
    return made


def graphic(kind: str, data: Any, units: str = "PIXEL") -> Any:
    return hd.pr.GraphicObject(kind, np.array(data, float), units)


def world(*voxels: tuple[float, float, float]) -> np.ndarray:
    """LPS mm of column, row, slice."""
    return space.to_world(PHANTOM.affine, voxels)


def convert(folder: Path, made: Dataset, *, reference: bool = True) -> Conversion:
    save(images(), folder / "images")
    save([made], folder / "labels")
    (labels,) = read_folder([folder / "labels"])[0]
    (referred,) = read_folder([folder / "images"])[0]
    given = referred.instances if reference else ()
    options = OutputOptions(compress=False)
    return convert_series(labels.instances, folder / "out", "label", options, references=given)


def points(folder: Path) -> list[dict[str, Any]]:
    """The list of points, each of them at one place in every space."""
    listed = json.loads((folder / "out/label_points.json").read_text())
    assert listed["ReferencedSeriesInstanceUID"] == PHANTOM.series
    manifest = json.loads((folder / "out/label_points.manifest.json").read_text())
    affine = np.array(manifest["affine"])
    found: list[dict[str, Any]] = listed["Points"]
    for one in found:
        assert np.allclose(space.to_world(affine, one["ijk"]), one["ras"], atol=1e-3)
        assert np.allclose(one["ras"] * np.array([-1, -1, 1]), one["lps"], atol=1e-6)
    return found


# ------------------------------------------------------------------ structured reports
def test_planar_regions_of_a_report(tmp_path: Path) -> None:
    circle = region(4, "CIRCLE", [(6.5, 5.5), (9.0, 5.5)])
    made = report(planar("first", region(2, "POLYLINE", RECTANGLE)), planar("second", circle))
    result = convert(tmp_path, made)
    assert not result.refusals
    check(tmp_path / "out/label.nii", 1, inside(2))
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    disc = np.zeros(SIZE[::-1], np.uint8)
    disc[4] = (columns - 6) ** 2 + (rows - 5) ** 2 < 2.5**2
    check(tmp_path / "out/label.nii", 2, disc)
    sidecar = json.loads((tmp_path / "out/label.json").read_text())
    assert [one["name"] for one in sidecar["Labels"]] == ["first", "second"]
    assert sidecar["ReferencedSeriesInstanceUID"] == PHANTOM.series


def test_a_region_of_several_images_is_one_label(tmp_path: Path) -> None:
    regions = [region(k, "POLYLINE", RECTANGLE) for k in (1, 2, 3)]
    assert not convert(tmp_path, report(volumetric("whole", referenced_regions=regions))).refusals
    check(tmp_path / "out/label.nii", 1, inside(1) + inside(2) + inside(3))


def test_regions_in_space(tmp_path: Path) -> None:
    corners = [(c - 0.5, r - 0.5, 2.0) for c, r in RECTANGLE]
    polygon = hd.sr.ImageRegion3D("POLYGON", world(*corners), FRAME)
    assert not convert(tmp_path, report(planar("flat", polygon))).refusals
    check(tmp_path / "out/label.nii", 1, inside(2))


def test_an_ellipsoid_is_filled_through_the_slices(tmp_path: Path) -> None:
    centre, reach = np.array([5.0, 4.0, 2.5]), np.array([3.2, 2.2, 1.4])
    ends = [centre + sign * reach * axis for axis in np.eye(3) for sign in (-1, 1)]
    surface = hd.sr.VolumeSurface(
        "ELLIPSOID",
        world(*map(tuple, ends)),
        FRAME,
        source_images=[hd.sr.SourceImageForSegmentation.from_source_image(one) for one in images()],
    )
    assert not convert(
        tmp_path, report(volumetric("ball", referenced_volume_surface=surface))
    ).refusals
    k, row, column = np.mgrid[: SIZE[2], : SIZE[1], : SIZE[0]]
    from_centre = (np.stack([column, row, k], axis=-1) - centre) / reach
    check(tmp_path / "out/label.nii", 1, ((from_centre**2).sum(axis=-1) <= 1).astype(np.uint8))


def test_points_and_lines_of_a_report(tmp_path: Path) -> None:
    space_point = hd.sr.ImageRegion3D("POINT", world((3.0, 4.0, 1.0)), FRAME)
    line = region(3, "POLYLINE", [(1.5, 2.5), (4.5, 6.5)])
    result = convert(tmp_path, report(planar("spot", space_point), planar("length", line)))
    assert not result.refusals
    assert [one.stem for one in result.products] == ["label_points"]
    spot, length = points(tmp_path)
    assert (spot["name"], spot["kind"], length["kind"]) == ("spot", "points", "line")
    assert np.allclose(spot["lps"], world((3, 4, 1)), atol=1e-4)
    assert np.allclose(length["lps"], world((1, 2, 3), (4, 6, 3)), atol=1e-4)
    source = length["source"][1]
    assert source["sop_instance_uid"] == PHANTOM.instance(3).SOPInstanceUID
    assert (source["row"], source["column"]) == (6, 4)


def test_a_region_that_is_repeated_is_one(tmp_path: Path) -> None:
    regions = [region(2, "POLYLINE", RECTANGLE)] * 2
    assert not convert(tmp_path, report(volumetric("whole", referenced_regions=regions))).refusals
    check(tmp_path / "out/label.nii", 1, inside(2))


def test_outlines_over_each_other_may_be_holes_and_are_refused(tmp_path: Path) -> None:
    hole = np.array([(3.0, 4.0), (5.0, 4.0), (5.0, 5.0), (3.0, 5.0), (3.0, 4.0)])
    regions = [region(2, "POLYLINE", RECTANGLE), region(2, "POLYLINE", hole)]
    (error,) = convert(tmp_path, report(volumetric("whole", referenced_regions=regions))).refusals
    assert error.reason is Reason.AMBIGUOUS_REGION


def test_regions_between_slices_are_refused(tmp_path: Path) -> None:
    corners = [(c, r, 2.5) for c, r in RECTANGLE]
    polygon = hd.sr.ImageRegion3D("POLYGON", world(*corners), FRAME)
    (error,) = convert(tmp_path, report(planar("flat", polygon))).refusals
    assert error.reason is Reason.RESIDUAL_TOO_LARGE


@pytest.mark.parametrize("where", ["image", "space", "outside"])
def test_what_is_drawn_elsewhere_makes_nothing_of_the_whole_report(
    tmp_path: Path, where: str
) -> None:
    """A part of a report would look like all of it."""
    if where == "image":
        other = region(4, "POLYLINE", RECTANGLE)
    elif where == "space":
        other = hd.sr.ImageRegion3D("POINT", world((3, 4, 1)), "1.2.3")
    else:
        other = hd.sr.ImageRegion3D("POINT", world((3, 4, 9)), FRAME)
    made = report(planar("first", region(2, "POLYLINE", RECTANGLE)), planar("second", other))
    for element in made.iterall():
        if where == "image" and element.value == images()[4].SOPInstanceUID:
            element.value = "1.2.3"
    result = convert(tmp_path, made)
    assert [error.reason for error in result.refusals] == [Reason.MISSING_REFERENCE]
    assert not result.products


def test_a_report_waits_for_its_images(tmp_path: Path) -> None:
    made = report(planar("first", region(2, "POLYLINE", RECTANGLE)))
    (error,) = convert(tmp_path, made, reference=False).refusals
    assert error.reason is Reason.MISSING_REFERENCE
    assert PHANTOM.series in error.sentence


def test_a_report_without_coordinates_is_no_image(tmp_path: Path) -> None:
    made = report(planar("first", region(2, "POLYLINE", RECTANGLE)))
    del made.ContentSequence
    (error,) = convert(tmp_path, made).refusals
    assert error.reason is Reason.NOT_AN_IMAGE


# ------------------------------------------------------------------ presentation states
def test_graphics_of_a_presentation_state(tmp_path: Path) -> None:
    made = presentation(
        graphic("POLYLINE", RECTANGLE),
        graphic("POINT", [(3.5, 4.5)]),
        graphic("ELLIPSE", [(7.0, 5.5), (12.0, 5.5), (9.5, 4.5), (9.5, 6.5)]),
        graphic("POINT", [(0.5, 0.5)], "DISPLAY"),
    )
    result = convert(tmp_path, made)
    assert not result.refusals
    check(tmp_path / "out/label.nii", 1, inside(2))
    check(tmp_path / "out/label.nii", 3, box((2, 3), (5, 6), (7, 12)))
    (spot,) = points(tmp_path)
    assert np.allclose(spot["lps"], world((3, 4, 2)), atol=1e-4)
    manifest = json.loads((tmp_path / "out/label_points.manifest.json").read_text())
    assert "1 graphics have no place" in manifest["left_out"][0]["reason"]


def test_an_interpolated_line_is_no_region(tmp_path: Path) -> None:
    convert(tmp_path, presentation(graphic("INTERPOLATED", RECTANGLE)))
    assert [one["kind"] for one in points(tmp_path)] == ["line"]


def test_what_is_too_small_for_a_voxel_is_not_lost(tmp_path: Path) -> None:
    small = [(2.6, 3.6), (2.9, 3.6), (2.9, 3.9), (2.6, 3.6)]
    convert(tmp_path, presentation(graphic("POLYLINE", small)))
    assert [one["kind"] for one in points(tmp_path)] == ["polygon"]


# ------------------------------------------------------------------ structure sets
def test_points_of_a_structure_set(tmp_path: Path) -> None:
    made = structure_set([(2, square(1.5, 8.5)), (1, [(4.0, 3.0)])])
    made.SeriesInstanceUID = LABELS
    made.ROIContourSequence[0].ContourSequence[1].ContourGeometricType = "POINT"
    result = convert(tmp_path, made)
    assert not result.refusals
    check(tmp_path / "out/label.nii", 5, box((2, 3), (2, 9), (2, 9)))
    (spot,) = points(tmp_path)
    assert (spot["value"], spot["name"]) == (5, "Liver")
    assert np.allclose(spot["lps"], world((4, 3, 1)), atol=1e-3)
    assert nib.load(tmp_path / "out/label.nii").shape == tuple(
        json.loads((tmp_path / "out/label_points.manifest.json").read_text())["shape"]
    )


def test_a_structure_set_of_points_alone_is_a_list(tmp_path: Path) -> None:
    made = structure_set([(1, [(4.0, 3.0)])])
    made.SeriesInstanceUID = LABELS
    made.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    result = convert(tmp_path, made)
    assert [one.stem for one in result.products] == ["label_points"]
    assert len(points(tmp_path)) == 1
