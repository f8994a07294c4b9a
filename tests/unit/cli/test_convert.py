"""Files to files: every voxel at its own place in every encoding, and the same bytes always."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from typer.testing import CliRunner

import node
from node.assemble import space
from node.cli.convert.command import convert
from node.convert import OutputOptions, Proof, convert_series, read_folder
from node.core.errors import AssemblyError, NodeError, Reason
from tests.phantom import CT, PET, Phantom, code, oblique, save
from tests.unit.assemble.test_enhanced import enhanced

IMPLICIT, EXPLICIT, DEFLATED, BIG = (
    f"1.2.840.10008.1.2{last}" for last in ("", ".1", ".1.99", ".2")
)
COMPRESSED = {
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}
angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
app = typer.Typer()
app.command()(convert)


def values_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def encoded(datasets: list[Dataset], folder: Path, syntax: str) -> list[Dataset]:
    """Data sets whose pixels are stored as a transfer syntax wants it."""
    if syntax in COMPRESSED.values():
        save(datasets, folder)  # gives them the transfer syntax to start from
        for dataset in datasets:
            dataset.compress(syntax, generate_instance_uid=False)
    if syntax == BIG:
        for dataset in datasets:
            words = np.frombuffer(dataset.PixelData, "<u2")
            dataset.PixelData = words.astype(">u2").tobytes()
    return datasets


# JPEG 2000's encoder wants 32 rows and columns
@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    angles,
    st.tuples(*[st.floats(0.5, 4)] * 3),
    st.tuples(st.integers(32, 36), st.integers(32, 36), st.integers(2, 4)),
    st.integers(1, 3),
    st.floats(-1, 1),
    st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED, BIG, *COMPRESSED.values()]),
    st.booleans(),
    st.randoms(),
)
def test_every_voxel_is_at_its_own_place(
    tmp_path_factory: pytest.TempPathFactory,
    turned: tuple[float, float, float],
    spacing: tuple[float, float, float],
    size: tuple[int, int, int],
    volumes: int,
    shear: float,
    syntax: str,
    multi_frame: bool,
    shuffle: random.Random,
) -> None:
    folder = tmp_path_factory.mktemp("phantom")
    phantom = Phantom(
        rotation=oblique(turned), spacing=spacing, size=size, volumes=volumes, shear=shear
    )
    datasets = phantom.instances()
    shuffle.shuffle(datasets)
    if multi_frame:
        datasets = [enhanced(phantom, [int(one.InstanceNumber) - 1 for one in datasets])]
        shared = datasets[0].SharedFunctionalGroupsSequence[0]
        del shared.PixelValueTransformationSequence
    save(encoded(datasets, folder / "plain", syntax), folder / "in", syntax)
    volume = node.load_dicom(folder / "in")
    affine = volume.affine
    # truth is computed in voxels of the source, so that rounding of positions cannot matter
    shape = volume.array.shape
    ijk = np.moveaxis(np.indices(shape[:3]), 0, -1).reshape(-1, 3)
    ras = space.to_world(affine, ijk)
    source = np.rint(space.to_voxel(space.lps_to_ras(phantom.affine), ras)).astype(int)
    assert np.allclose(space.to_voxel(space.lps_to_ras(phantom.affine), ras), source, atol=1e-4)
    for t in range(volumes):
        truth = np.stack([code(phantom.positions(k), t) for k in range(phantom.size[2])])
        found = volume.array[..., t] if volumes > 1 else volume.array
        assert (found.ravel() == truth[source[:, 2], source[:, 1], source[:, 0]]).all()


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED, *COMPRESSED.values()])
def test_every_encoding_gives_the_same_volume(tmp_path: Path, syntax: str) -> None:
    phantom = Phantom(rotation=oblique((0.3, 0.1, -0.2)), size=(64, 48, 4))
    plain = node.load_dicom(save(phantom.instances(), tmp_path / "plain"))
    datasets = encoded(phantom.instances(), tmp_path / "first", syntax)
    other = node.load_dicom(save(datasets, tmp_path / "other", syntax))
    assert (other.array == plain.array).all()
    assert other.array.dtype == plain.array.dtype
    assert (other.affine == plain.affine).all()


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.randoms())
def test_any_order_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, shuffle: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("order")
    paths = save(Phantom(volumes=2, rotation=oblique((0.3, 1.2, 0.1))).instances(), folder / "in")
    (series,), _ = read_folder(paths)
    first = convert_series(series.instances, folder / "a", "x")
    instances = list(series.instances)
    shuffle.shuffle(instances)
    assert convert_series(instances, folder / "b", "x") == first
    assert all_bytes(folder / "a") == all_bytes(folder / "b")


def converted(datasets: list[Dataset], folder: Path, **options: object) -> Path:
    (series,), _ = read_folder(save(datasets, folder / "in"))
    convert_series(series.instances, folder / "out", "x", OutputOptions(**options))
    return folder / "out"


def test_the_files_of_a_volume(tmp_path: Path) -> None:
    (series,), _ = read_folder(save(Phantom(volumes=2).instances(), tmp_path / "in"))
    proof = Proof(3, "complete", [{"source": "quiet-time", "says": "complete"}])
    found = convert_series(series.instances, tmp_path, "study/x", proof=proof)
    (product,) = found.products
    assert product.files == tuple(
        f"study/x{end}" for end in (".nii.gz", ".json", ".png", ".manifest.json")
    )
    image = nib.load(tmp_path / "study/x.nii.gz")
    assert image.shape == product.shape == (6, 5, 4, 2)
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert image.header["pixdim"][4] == 2.0
    assert np.allclose(image.affine, product.affine, atol=1e-5)
    manifest = json.loads((tmp_path / product.manifest).read_text())
    raw = (tmp_path / "study/x.nii.gz").read_bytes()
    assert manifest["sha256"] == product.sha256 == hashlib.sha256(raw).hexdigest()
    assert raw[4:8] == bytes(4)  # no time in the gzip header (RFC 1952 2.3.1)
    assert gzip.decompress(raw)[:4] == (348).to_bytes(4, "little")
    assert (manifest["revision"], manifest["verdict"]) == (3, "complete")
    assert manifest["evidence"] == [{"source": "quiet-time", "says": "complete"}]
    assert (manifest["orientation"], manifest["shape"]) == ("RAS", [6, 5, 4, 2])
    assert manifest["series_instance_uid"] == series.uid
    assert manifest["residual_mm"] < 1e-6
    sidecar = json.loads((tmp_path / "study/x.json").read_text())
    assert sidecar["SeriesInstanceUID"] == series.uid
    assert sidecar["RepetitionTime"] == 2.0
    assert "PatientName" not in sidecar
    with Image.open(tmp_path / "study/x.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100


@pytest.mark.parametrize("turned", [(0, 0, 0), (np.pi / 2, 0, 0), (0, np.pi / 2, 0), (0, np.pi, 0)])
def test_the_manifest_says_where_each_slice_came_from(
    tmp_path: Path, turned: tuple[float, float, float]
) -> None:
    phantom = Phantom(rotation=oblique(turned), volumes=2)
    out = converted(phantom.instances(), tmp_path)
    manifest = json.loads((out / "x.manifest.json").read_text())
    data, _ = values_of(out / "x.nii.gz")
    axis = "ijk".index(manifest["slice_axis"])
    by_uid = {d.SOPInstanceUID: d for d in phantom.instances()}
    back = np.array(manifest["voxel_to_source"])
    assert len(manifest["sources"]) == 8
    for source in manifest["sources"]:
        stored = np.frombuffer(by_uid[source["sop_instance_uid"]].PixelData, "<u2").reshape(5, 6)
        plane = np.take(data[..., source["t"]], source["k"], axis=axis)
        assert sorted(plane.ravel()) == sorted(stored.ravel())
        voxel = [1, 2, 1]
        voxel[axis] = source["k"]
        column, row, _ = np.rint(back @ [*voxel, 1])[:3].astype(int)
        assert data[(*voxel, source["t"])] == stored[row, column]


def test_preview_shows_the_left_at_the_right(tmp_path: Path) -> None:
    phantom = Phantom(size=(40, 30, 20), spacing=(2, 2, 2))
    datasets = phantom.instances()
    for k, dataset in enumerate(datasets):
        bright = np.zeros((30, 40), np.uint16)
        bright[:15, 30:] = 1000 if k >= 10 else 0  # left, anterior, superior
        dataset.PixelData = bright.tobytes()
    out = converted(datasets, tmp_path)
    picture = np.asarray(Image.open(BytesIO((out / "x.png").read_bytes())).convert("L")) > 200
    axial, coronal = picture[4:, 4:260], picture[4:, 264:520]
    assert axial[:, 200:250].sum() > 10 * axial[:, :128].sum() > -1
    rows = np.nonzero(axial[:, 200:240].any(axis=1))[0]
    assert rows.max() < axial.shape[0] / 2 + 5
    assert coronal.sum() >= 0


@pytest.mark.parametrize("samples", [1, 3])
def test_letters_are_yellow_on_greys_and_on_colours(tmp_path: Path, samples: int) -> None:
    datasets = Phantom(size=(40, 40, 40)).instances()
    for dataset in datasets:
        dataset.SamplesPerPixel, dataset.PlanarConfiguration = samples, 0
        dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = bytes([200] * 20 * 40 * samples + [90] * 20 * 40 * samples)
    out = converted(datasets, tmp_path)
    with Image.open(out / "x.png") as picture:
        shown = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    yellow = (shown == (255, 220, 0)).all(axis=1).sum()
    coloured = (np.ptp(shown.astype(int), axis=1) > 0).sum()
    assert 20 < yellow <= coloured < shown.shape[0] / 100


@pytest.mark.parametrize(
    ("window", "grey"), [({}, 128), ({"WindowCenter": [80, 40], "WindowWidth": [160, 80]}, 64)]
)
@pytest.mark.parametrize("slope", [1, 0.5])
def test_a_ct_is_shown_in_its_window(
    tmp_path: Path, window: dict[str, object], grey: int, slope: float
) -> None:
    """40 HU: the middle of soft tissue, a quarter of 0 to 160, whatever else is in the image."""
    scale = {"RescaleIntercept": -1024, "RescaleSlope": slope}
    datasets = Phantom(sop_class=CT, size=(40, 40, 40), attributes={**scale, **window}).instances()
    values = np.full((40, 40), (40 + 1024) / slope, np.uint16)
    values[:5], values[-5:] = 0, 4095
    for dataset in datasets:
        dataset.PixelData = values.tobytes()
    out = converted(datasets, tmp_path)
    picture = np.asarray(Image.open(BytesIO((out / "x.png").read_bytes())).convert("L"))
    assert abs(int(picture[130, 100]) - grey) <= 1


def test_slope_that_varies_becomes_float(tmp_path: Path) -> None:
    phantom = Phantom(sop_class=PET)
    datasets = phantom.instances()
    for k, dataset in enumerate(datasets):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + k, 7
    data, _ = values_of(converted(datasets, tmp_path) / "x.nii.gz")
    assert data.dtype == np.float32
    truth = [code(phantom.positions(k)) * (0.5 + k) + 7 for k in range(4)]
    assert sorted(data.ravel()) == sorted(np.concatenate([plane.ravel() for plane in truth]))


def test_hounsfield_units_are_integers(tmp_path: Path) -> None:
    datasets = Phantom(sop_class=CT).instances()
    for dataset in datasets:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    path = converted(datasets, tmp_path) / "x.nii.gz"
    image = nib.load(path)
    assert image.get_data_dtype() == np.int16
    assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    assert np.asanyarray(image.dataobj).min() < 0


def test_tilted_gantry_keeps_its_shear(tmp_path: Path) -> None:
    phantom = Phantom(sop_class=CT, shear=1.0)
    path = converted(phantom.instances(), tmp_path) / "x.nii.gz"
    image = nib.load(path)
    assert image.header["qform_code"] == 0
    assert image.header["sform_code"] == 1
    step = space.to_world(np.asarray(image.affine, float), [0, 0, 1])
    step -= space.to_world(np.asarray(image.affine, float), [0, 0, 0])
    assert np.allclose(np.abs(step), [0, 1, 3], atol=1e-5)


# ------------------------------------------------------------------- duplicates
def test_the_same_instance_again_changes_nothing(tmp_path: Path) -> None:
    datasets = Phantom(size=(16, 12, 4)).instances()
    paths = save(datasets, tmp_path / "one")
    again = save(datasets, tmp_path / "two")
    for dataset in datasets:
        dataset.compress(COMPRESSED["RLE"], generate_instance_uid=False)
    packed = save(datasets, tmp_path / "three", COMPRESSED["RLE"])
    (series,), _ = read_folder([*paths, *again, *packed])
    found = convert_series(series.instances, tmp_path / "out", "x")
    assert len(found.products) == 1
    assert not found.refusals
    assert len(found.left_out) == 8
    alone = node.load_dicom(tmp_path / "one")
    data, _ = values_of(tmp_path / "out/x.nii.gz")
    assert (data == alone.array).all()


def test_a_copy_may_be_stored_and_described_otherwise(tmp_path: Path) -> None:
    paths = save(Phantom().instances(), tmp_path / "one")
    others = Phantom(attributes={"InstitutionName": "Elsewhere", "BitsStored": 16}).instances()
    for one in others:
        one.HighBit = 15
    paths += save(others, tmp_path / "two")
    (series,), _ = read_folder(paths)
    made = []
    for name, instances in (("a", series.instances), ("b", series.instances[::-1])):
        found = convert_series(instances, tmp_path / name, "x")
        assert not found.refusals
        assert len(found.left_out) == 4
        made.append([(tmp_path / name / file).read_bytes() for file in found.products[0].files])
    assert made[0] == made[1]


@pytest.mark.parametrize("attribute", ["RescaleIntercept", "PixelPaddingValue", "SliceThickness"])
def test_a_copy_may_not_mean_something_else(attribute: str, tmp_path: Path) -> None:
    paths = save(Phantom().instances(), tmp_path / "one")
    paths += save(Phantom(attributes={attribute: 7}).instances()[:1], tmp_path / "two")
    (series,), _ = read_folder(paths)
    (refusal, *_) = convert_series(series.instances, tmp_path / "out", "x").refusals
    assert refusal.reason is Reason.DUPLICATE_POSITION


def test_one_uid_with_other_pixels_is_refused(tmp_path: Path) -> None:
    paths = save(Phantom().instances(), tmp_path / "one")
    other = Phantom().instance(1)
    other.PixelData = bytes(60)
    paths += save([other], tmp_path / "two")
    with pytest.raises(AssemblyError) as caught:
        node.load_dicom(paths)
    assert caught.value.reason is Reason.DUPLICATE_POSITION
    assert other.SOPInstanceUID in caught.value.instances


def test_truncated_pixels_are_refused(tmp_path: Path) -> None:
    datasets = Phantom().instances()
    datasets[1].PixelData = bytes(40)
    with pytest.raises(AssemblyError) as caught:
        node.load_dicom(save(datasets, tmp_path))
    assert caught.value.reason is Reason.PIXELS_TRUNCATED


# --------------------------------------------------------------------- reading
def test_files_that_are_no_dicom_are_listed(tmp_path: Path) -> None:
    save(Phantom().instances(), tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    whole = (tmp_path / "00000.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-10])
    (tmp_path / "bare").write_bytes(whole[128 + 4 :])
    series, strangers = read_folder([tmp_path])
    assert sorted(one.path.name for one in strangers) == ["cut.dcm", "empty", "notes.txt"]
    assert len(series[0].instances) == 5


def test_loading_several_series(tmp_path: Path) -> None:
    save(Phantom().instances(), tmp_path / "a")
    save(Phantom(series="1.2.3.4").instances(), tmp_path / "b")
    assert len(node.load_all(tmp_path)) == 2
    with pytest.raises(AssemblyError, match="2 volumes"):
        node.load_dicom(tmp_path)


def test_load_and_convert_are_one_path(tmp_path: Path) -> None:
    phantom = Phantom(rotation=oblique((0.4, 0.2, 1.0)), volumes=2)
    paths = save(phantom.instances(), tmp_path / "in")
    out = converted(phantom.instances(), tmp_path / "x")
    loaded = node.load_dicom(paths[0].parent)
    data, affine = values_of(out / "x.nii.gz")
    assert (loaded.array == data).all()
    assert (np.asarray(loaded.affine, np.float32) == affine.astype(np.float32)).all()
    nib.save(loaded.nifti(), tmp_path / "saved.nii")
    assert (tmp_path / "saved.nii").read_bytes() == gzip.decompress((out / "x.nii.gz").read_bytes())


# --------------------------------------------------------------------- command
def test_command_writes_and_reports(tmp_path: Path) -> None:
    save(Phantom().instances(), tmp_path / "in")
    (tmp_path / "in/notes.txt").write_text("hello")
    done = CliRunner().invoke(
        app, ["-f", "%s_%j", "-z", "n", "--json", str(tmp_path / "in"), str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert len(report["unreadable"]) == 1
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    stem = f"7_{Phantom().series}"
    assert names == [f"{stem}{end}" for end in (".json", ".manifest.json", ".nii", ".png")]


def test_command_fails_when_an_image_is_refused(tmp_path: Path) -> None:
    datasets = Phantom(size=(6, 5, 6)).instances()
    del datasets[2]
    save(datasets, tmp_path / "in")
    done = CliRunner().invoke(app, [str(tmp_path / "in"), str(tmp_path / "out")])
    assert isinstance(done.exception, NodeError)
    assert "missing-slice" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_refused_volume_takes_no_name_from_another_series(tmp_path: Path) -> None:
    syntax = COMPRESSED["RLE"]
    damaged = encoded(Phantom(series="1.2.3").instances(), tmp_path / "raw", syntax)
    path = save(damaged, tmp_path / "in/a", syntax)[1]
    save(Phantom(series="1.2.4").instances(), tmp_path / "in/b")
    frame = path.read_bytes().rindex(b"\x02\x00\x00\x00\x40\x00\x00\x00")  # of two segments
    path.write_bytes(path.read_bytes()[:frame] + bytes(8) + path.read_bytes()[frame + 8 :])
    done = CliRunner().invoke(
        app, ["-f", "%s_scan", "-z", "n", str(tmp_path / "in"), str(tmp_path / "out")]
    )
    assert "pixels-unreadable" in done.stderr
    names = sorted(path.name for path in (tmp_path / "out").glob("*.nii"))
    assert names == ["7_scan.nii"]


@pytest.mark.parametrize("words", [["-f", "%q"], ["-z", "maybe"], ["-f", "/"]])
def test_command_refuses_nonsense(tmp_path: Path, words: list[str]) -> None:
    done = CliRunner().invoke(app, [*words, str(tmp_path), str(tmp_path / "out")])
    assert isinstance(done.exception, node.core.errors.ConfigError)
    assert not (tmp_path / "out").exists()


def test_names_from_dicom_stay_inside_the_folder(tmp_path: Path) -> None:
    datasets = Phantom(attributes={"SeriesDescription": "../../x/y\\z"}).instances()
    save(datasets, tmp_path / "in")
    done = CliRunner().invoke(app, ["-f", "%d", str(tmp_path / "in"), str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert {path.parent for path in (tmp_path / "out").rglob("*")} == {tmp_path / "out"}
