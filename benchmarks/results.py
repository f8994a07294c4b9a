"""A mask to a DICOM Segmentation: `rasnode result` beside highdicom's plain use and dcmqi.

    python -m benchmarks.results [--slices 300] [--dcmqi /path/to/itkimage2segimage]

512 x 512 voxels a slice, twenty labels. Each reads the same NIfTI and the same source, each in a
process of its own, in turn; each one's best round counts. Memory is the peak of the process.
Processor time is that of all cores. rasnode's modules are compiled first, as those of an installed
package are.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import nibabel as nib
import numpy as np

import node
from benchmarks.instances import series, write
from benchmarks.servers import rasnode

SIDE: Final = 512
LABELS: Final = 20
WAIT_SECONDS: Final = 300.0
HIGHDICOM: Final = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import nibabel as nib, numpy as np, pydicom, highdicom as hd
folder, image, out = sys.argv[1:4]
sources = [pydicom.dcmread(path) for path in sorted(Path(folder).glob("*.dcm"))]
ras = np.asarray(nib.load(image).dataobj)
mask = np.ascontiguousarray(ras[::-1, ::-1].transpose(2, 1, 0)).astype(np.uint8)
organ = hd.sr.CodedConcept("91723000", "SCT", "Anatomical Structure")
liver = hd.sr.CodedConcept("10200004", "SCT", "Liver")
segments = [
    hd.seg.SegmentDescription(
        segment_number=number, segment_label=f"L{number}", segmented_property_category=organ,
        segmented_property_type=liver, algorithm_type="MANUAL",
    )
    for number in range(1, 21)
]
hd.seg.Segmentation(
    source_images=sources, pixel_array=mask, segmentation_type="BINARY",
    segment_descriptions=segments, series_instance_uid=hd.UID(), series_number=7,
    sop_instance_uid=hd.UID(), instance_number=1, manufacturer="x", manufacturer_model_name="x",
    software_versions="1", device_serial_number="1",
).save_as(out)
"""


class Took(NamedTuple):
    """What a process needed: seconds, seconds of processors, and MB at its peak."""

    seconds: float
    processors: float
    peak: float


def mask(shape: tuple[int, ...]) -> np.ndarray:
    """Twenty ellipsoids as organs lie, (i, j, k)."""
    result = np.zeros(shape, np.int16)
    chance = np.random.default_rng(3)
    for value in range(1, LABELS + 1):
        centre = chance.uniform(0.2, 0.8, 3) * shape
        radius = chance.uniform(0.04, 0.14, 3) * shape
        low = np.maximum(np.floor(centre - radius), 0).astype(int)
        high = np.minimum(np.ceil(centre + radius) + 1, shape).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[box]
        parts = zip(grid, centre, radius, strict=True)
        result[box][sum(((g - c) / r) ** 2 for g, c, r in parts) <= 1] = value
    return result


def measured(command: Sequence[str]) -> Took:
    """Run a command, which has to succeed."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    busy = usage.ru_utime + usage.ru_stime
    return Took(time.monotonic() - began, busy, usage.ru_maxrss * 1024 / 1e6)


def described(path: Path) -> Path:
    """Write what dcmqi has to be told of the segments."""
    liver = {"CodeValue": "10200004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"}
    organ = {
        "CodeValue": "91723000",
        "CodingSchemeDesignator": "SCT",
        "CodeMeaning": "Anatomical Structure",
    }
    segments = [
        {
            "labelID": number,
            "SegmentDescription": f"L{number}",
            "SegmentLabel": f"L{number}",
            "SegmentAlgorithmType": "AUTOMATIC",
            "SegmentAlgorithmName": "x",
            "SegmentedPropertyCategoryCodeSequence": organ,
            "SegmentedPropertyTypeCodeSequence": liver,
            "recommendedDisplayRGBValue": [number, 200 - number, 99],
        }
        for number in range(1, LABELS + 1)
    ]
    about = {
        "ContentCreatorName": "X",
        "ClinicalTrialSeriesID": "1",
        "ClinicalTrialTimePointID": "1",
        "SeriesNumber": "7",
        "SeriesDescription": "S",
        "InstanceNumber": "1",
        "BodyPartExamined": "ABDOMEN",
        "segmentAttributes": [segments],
    }
    path.write_text(json.dumps(about))
    return path


def volume_of(root: Path) -> tuple[Path, str]:
    """The NIfTI that the node made, once it is there, and its series."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = [one for one in root.glob("nifti/**/*.manifest.json") if ".staging" not in str(one)]
        if found:
            manifest = json.loads(found[0].read_text())
            return found[0].with_name(manifest["image"]), manifest["series_instance_uid"]
        time.sleep(0.2)
    raise SystemExit("the node made no volume")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dcmqi", default=shutil.which("itkimage2segimage"))
    options = parser.parse_args()
    compileall.compile_dir(Path(node.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write(series(options.slices, SIDE), work / "dicom")
        root = work / "node"
        root.mkdir()
        with rasnode(root) as _:
            config = str(root / "config.yaml")
            command = [sys.executable, "-m", "node"]
            subprocess.run(
                [*command, "import", str(work / "dicom"), "-c", config],
                check=True,
                capture_output=True,
            )
            volume, uid = volume_of(root)
            image = nib.load(volume)
            labels = mask(image.shape)
            path = work / "mask.nii.gz"
            nib.save(nib.Nifti1Image(labels, image.affine), path)
            script = work / "plain.py"
            script.write_text(HIGHDICOM)
            out = str(work / "out.dcm")
            ways = {
                "rasnode result": [
                    *command, "result", str(path), "--of", uid, "-o", out, "-c", config
                ],
                "highdicom": [sys.executable, str(script), str(work / "dicom"), str(path), out],
            }  # fmt: skip
            if options.dcmqi:
                meta = described(work / "dcmqi.json")
                ways["dcmqi"] = [
                    options.dcmqi, "--inputImageList", str(path), "--inputDICOMDirectory",
                    str(work / "dicom"), "--outputDICOM", out, "--inputMetadata", str(meta),
                ]  # fmt: skip
            rounds = [
                {name: measured(one) for name, one in ways.items()} for _ in range(options.rounds)
            ]
    allowed = 1.5 * labels.nbytes / 1e6 + 200
    print(f"{SIDE} x {SIDE} x {options.slices}, {LABELS} labels; mask {labels.nbytes / 1e6:.0f} MB")
    best = {
        name: Took(*(min(values) for values in zip(*(one[name] for one in rounds), strict=True)))
        for name in ways
    }
    for name, took in best.items():
        ratio = best["rasnode result"].seconds / took.seconds
        print(
            f"{name:16} {took.seconds:6.2f} s  {took.processors:6.2f} s of processors  "
            f"{took.peak:6.0f} MB  ratio {ratio:.2f}"
        )
    print(f"memory allowed: {allowed:.0f} MB")


if __name__ == "__main__":
    main()
