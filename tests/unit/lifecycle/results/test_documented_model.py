"""The model of `docs/results.md` does what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

PAGE = Path(__file__).parents[4] / "docs" / "results.md"


def test_the_model_of_the_page_leaves_a_mask_with_its_labels(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (model,) = (block for block in blocks if "RASNODE_RESULTS" in block)
    values = np.zeros((4, 4, 4), np.float32)
    values[1:3, 1:3, 1:3] = 800
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "ct.nii.gz")
    answers = tmp_path / "answers"
    answers.mkdir()
    told = {"RASNODE_RESULTS": str(answers), "RASNODE_IMAGE": str(tmp_path / "ct.nii.gz")}
    subprocess.run(
        [sys.executable, "-c", model],
        input=json.dumps({"event": "ready"}).encode(),
        env={**os.environ, **told},
        check=True,
    )
    mask = np.asarray(nib.load(answers / "bone.nii.gz").dataobj)
    assert np.array_equal(mask, values > 300)
    assert json.loads((answers / "bone.json").read_text())["Labels"][0]["name"] == "Bone"
