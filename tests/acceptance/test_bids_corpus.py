"""Scans of three makers become the same valid BIDS dataset in whatever order they are sent.

`RASNODE_TEST_BIDS_ORDERS=5 pytest tests/acceptance/test_bids_corpus.py` sends all of them in five
orders; otherwise those of one maker are sent in two.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

from tests.integration.test_bids import validate
from tests.running import RunningNode, shared

ORDERS = int(os.environ.get("RASNODE_TEST_BIDS_ORDERS", "0"))
IMAGES = {"siemens-xa": 6, "ge-siemens-epi": 8, "philips-classic": 1}
"""How many images each part of the corpus has."""
STEM = "sub-{PatientID}"
RULES: list[dict[str, Any]] = [
    {"when": {"SeriesDescription": "*T1w*"}, "name": f"{STEM}/anat/{STEM}_T1w"},
    {"when": {"Kind": ["ADC", "FA", "trace", "eADC"]}, "name": None},
    {
        "when": {"SeriesDescription": ["*dti*", "*DWI*"], "Diffusion": "true"},
        "name": f"{STEM}/dwi/{STEM}_dwi",
    },
    {
        "when": {"SeriesDescription": "*field_mapping*", "Kind": "magnitude"},
        "name": f"{STEM}/fmap/{STEM}_magnitude",
    },
    {
        "when": {"SeriesDescription": "*field_mapping*", "Kind": "phase"},
        "name": f"{STEM}/fmap/{STEM}_phasediff",
    },
    *(
        {"when": {"SeriesDescription": f"*PE={to}"}, "name": f"{STEM}/fmap/{STEM}_dir-{to}_epi"}
        for to in ("AP", "PA", "LR", "RL")
    ),
    {
        "when": {"SeriesDescription": ["*bold*", "*fmri*"], "Volumes": ">1"},
        "name": f"{STEM}/func/{STEM}_task-rest_bold",
    },
    {"when": {"SeriesDescription": "*asl*"}, "name": f"{STEM}/perf/{STEM}_asl"},
    {"name": None},
]


def test_every_order_makes_the_same_valid_dataset(tmp_path: Path) -> None:
    parts = list(IMAGES) if ORDERS else list(IMAGES)[:1]
    files = [path for part in parts for path in shared(f"corpus/{part}").rglob("*.dcm")]
    folders = sorted({path.parent for path in files})
    trees = []
    for seed in range(ORDERS or 2):
        order = random.Random(seed).sample(folders, len(folders))
        dataset = made_of(order, tmp_path / str(seed))
        assert validate(dataset) == []
        trees.append(tree(dataset))
    images = [name for name in trees[0] if name.endswith(".nii.gz")]
    assert len(images) == sum(IMAGES[part] for part in parts)
    for other in trees[1:]:
        assert other == trees[0]


def made_of(folders: list[Path], below: Path) -> Path:
    """The dataset of a node to which folders are sent one after the other."""
    settings = {
        "completion": {"quiet_seconds": 0.3, "incomplete": "convert"},
        "output": {"rules": RULES},
    }
    below.mkdir()
    node = RunningNode(below, settings).start()
    try:
        for folder in folders:
            node.send(*sorted(folder.glob("*.dcm")))
        node.settle(seconds=400)
    finally:
        node.kill()
    return node.root / "nifti"


def tree(dataset: Path) -> dict[str, str]:
    """What each file says, but for revisions and the evidence, which depend on the order."""
    return {
        str(path.relative_to(dataset)): said(path)
        for path in dataset.rglob("*")
        if path.is_file() and ".manifest.r" not in path.name and ".staging" not in path.parts
    }


def said(path: Path) -> str:
    content = path.read_bytes()
    if path.name.endswith(".manifest.json"):
        manifest = json.loads(content)
        for key in ("revision", "verdict", "evidence", "sha256"):  # of the compressed image
            manifest.pop(key, None)
        content = json.dumps(manifest, sort_keys=True).encode()
    elif path.suffix == ".gz":
        content = gzip.decompress(content)
    return hashlib.sha256(content).hexdigest()
