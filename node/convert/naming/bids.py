"""Names in the form of the Brain Imaging Data Structure: sub-01/anat/sub-01_run-2_T1w.

A template is one of BIDS if it begins with `sub-`. Suffixes that distinguish the volumes of a
series then become entities in the order of BIDS, and the dataset gets the files that BIDS requires.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from node.core.output_names import is_bids
from node.core.version import VERSION

BIDS_VERSION: Final = "1.10.0"
_ORDER: Final = (
    "sub", "ses", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec",
    "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split",
    "recording", "chunk",
)  # fmt: skip
"""Entities in their order; unknown entities follow the known ones."""
_ENTITIES: Final = {
    "ph": ("part", "phase"),
    "real": ("part", "real"),
    "imaginary": ("part", "imag"),
}
_SUFFIXES: Final = {"adc": "ADC", "fa": "FA", "trace": "trace"}
"""Suffixes that BIDS has for images derived from diffusion images."""
_FIELD_MAP: Final = "_fieldmap"
"""A map in Hz; the magnitude image of the same series is its `_magnitude`."""
_OF_PHASES: Final = frozenset({"phasediff", "phase", "phase1", "phase2"})
"""Suffixes that say already that an image is a phase."""
_NUMBERED: Final = frozenset({"magnitude", "phase"})
"""Suffixes of field maps whose echoes are numbered in the suffix."""
_LABELING: Final = "_asl"
_LABELED: Final = frozenset({"asl", "m0scan"})
_FUNCTIONAL: Final = frozenset({"bold", "cbv"})
_LASTING: Final = frozenset({"SliceTiming", "AcquisitionDuration"})
_DIGITS: Final = 6
_DATASET: Final = "dataset_description.json"
_IGNORED: Final = ".bidsignore"
_INCOMPLETE: Final = "perf/\npet/\n"
"""Ignored by the validator, as BIDS requires fields of spin labeling and of PET that no header has,
such as BackgroundSuppression and ModeOfAdministration."""
_WEIGHTED_TRACE: Final = "*_trace.bval\n"
"""Ignored by the validator, as BIDS has no file for the b-values of traces."""
_CANCELLED: Final = "*__dup-*\n"
"""Ignored by the validator: scans that were repeated, as ReproIn names them."""
_README: Final = "README"


def with_suffix(base: str, suffix: str) -> str:
    """Return the name of one volume of a series.

    Args:
        base: the name of the series.
        suffix: distinguishes the volume from others, such as "_e2_ph"; "" for the only one.

    Examples:
        >>> with_suffix("0003_MR", "_e2")
        '0003_MR_e2'
        >>> with_suffix("sub-01_task-rest_bold", "_e2_ph")
        'sub-01_task-rest_echo-2_part-phase_bold'
    """
    if not is_bids(base):
        return base + suffix
    name = base
    parts = [part for part in suffix.split("_") if part]
    datatype_suffix = base.rpartition("_")[2]
    if datatype_suffix in _OF_PHASES:
        parts = [part for part in parts if part != "ph"]
    if datatype_suffix in _NUMBERED:
        echo = next((part for part in parts if _is_echo(part)), "")
        parts = [part for part in parts if part != echo]
        name += echo[1:]
    if base.endswith(_FIELD_MAP) and parts:
        return base if "fieldmaphz" in parts else base.removesuffix(_FIELD_MAP) + "_magnitude"
    for part in parts:
        if part in _ENTITIES:
            name = with_entity(name, *_ENTITIES[part])
        elif _is_echo(part):
            name = with_entity(name, "echo", part[1:])
        elif part.lower() in _SUFFIXES:
            name = f"{name.rpartition('_')[0]}_{_SUFFIXES[part.lower()]}"
        else:
            name = with_entity(name, "rec", "".join(filter(str.isalnum, part)))
    return name


def _is_echo(part: str) -> bool:
    return part[0] == "e" and part[1:].isdecimal()


def repeated(name: str, times: int) -> str:
    """Return a new name for one that is taken already: with another run, or a letter.

    Args:
        name: the name.
        times: how many times it is taken already.

    Examples:
        >>> repeated("0003_MR", 1), repeated("sub-01_T1w", 1)
        ('0003_MRa', 'sub-01_run-2_T1w')
    """
    if times == 0:
        return name
    if is_bids(name):
        run = entities_of(name).get("run", "1")
        return with_entity(name, "run", str((int(run) if run.isdecimal() else 1) + times))
    return f"{name}{chr(ord('a') + times - 1)}" if times <= 26 else f"{name}_{times}"


def task_of(name: str) -> str:
    """Return the task in a name, which BIDS requires in the sidecar, too."""
    return entities_of(name).get("task", "") if is_bids(name) else ""


def completed(name: str, fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that BIDS requires in the sidecar of an image of this name.

    VolumeTiming replaces RepetitionTime and requires the time that a volume takes: one repetition
    of the sequence, at most the shortest time to the next volume. In spin labeling the preparation
    is repeated with each volume.

    Args:
        name: name of the volume.
        fields: fields of its sidecar.
    """
    complete = dict(fields)
    if not is_bids(name):
        return complete
    if task := task_of(name):
        complete["TaskName"] = task
    suffix, repetition = name.rpartition("_")[2], fields.get("RepetitionTime")
    if suffix in _LABELED and repetition is not None:
        complete["RepetitionTimePreparation"] = repetition
    starts = fields.get("VolumeTiming")
    if suffix in _FUNCTIONAL and isinstance(starts, list):
        stated = fields.get("RepetitionTimeExcitation", repetition)
        shortest = min(after - before for before, after in pairwise(starts))
        for other in ("RepetitionTime", "DelayTime"):
            complete.pop(other, None)
        if _LASTING.isdisjoint(complete):
            lasts = min(stated, shortest) if isinstance(stated, int | float) else shortest
            complete["FrameAcquisitionDuration"] = round(lasts, _DIGITS)
    return complete


def asl_context(name: str, types: Sequence[str]) -> str:
    """Return the context table of an image with spin labeling; "" for other images.

    Args:
        name: name of the volume.
        types: control, label or m0scan for every volume.
    """
    if not is_bids(name) or not name.endswith(_LABELING) or not types:
        return ""
    return "\n".join(["volume_type", *types]) + "\n"


def begin_dataset(root: Path, template: str) -> None:
    """Write the files that BIDS requires at the root of a dataset, if names are those of BIDS.

    Existing files stay unchanged.

    Args:
        root: folder of the dataset.
        template: template of the names.
    """
    if is_bids(template):
        write_dataset_files(root)


def write_dataset_files(root: Path) -> None:
    """Write the files that BIDS requires at the root of a dataset; existing ones stay unchanged.

    Args:
        root: folder of the dataset.
    """
    described = {
        "Name": "Series received by rasnode",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "rasnode", "Version": VERSION}],
    }
    readme = "Each volume's manifest says which DICOM instance filled which slice.\n"
    ignored = (
        f"*.manifest*.json\n*.quality.json\n*.png\n.staging/\n"
        f"{_CANCELLED}{_WEIGHTED_TRACE}{_INCOMPLETE}"
    )
    for name, text in (
        (_DATASET, json.dumps(described, indent=2) + "\n"),
        (_IGNORED, ignored),
        (_README, readme),
    ):
        path = root / name
        if not path.exists():
            path.write_text(text, "utf-8")


def entities_of(name: str) -> dict[str, str]:
    """Return the entities in a name and their labels."""
    parts = name.rpartition("/")[2].split("_")[:-1]
    return {key: label for key, dash, label in (part.partition("-") for part in parts) if dash}


def with_entity(name: str, entity: str, label: str) -> str:
    """Return a name with an entity set, and its entities in order.

    Args:
        name: the name, with folders.
        entity: its key.
        label: its new label.
    """
    folder, slash, stem = name.rpartition("/")
    suffix = stem.rpartition("_")[2]
    entities = entities_of(name) | {entity: label}
    ranked = sorted(entities.items(), key=lambda item: _rank(item[0]))
    return folder + slash + "_".join([*(f"{key}-{value}" for key, value in ranked), suffix])


def _rank(entity: str) -> int:
    return _ORDER.index(entity) if entity in _ORDER else len(_ORDER)
