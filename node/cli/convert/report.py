"""The report of `convert`, in words or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.cli.output.terminal import say, say_exactly
from node.convert import Conversion, Product, Series, Unreadable
from node.core.errors import NodeError, Reason


class Done(NamedTuple):
    """The result for one series.

    Attributes:
        conversion: its volumes and refusals.
        skipped: volumes that were not written, because files of these names existed.
    """

    series: Series
    conversion: Conversion
    skipped: tuple[Product, ...] = ()

    @property
    def written(self) -> tuple[Product, ...]:
        """The volumes that were written."""
        return tuple(one for one in self.conversion.products if one not in self.skipped)


_ON_PURPOSE = frozenset({Reason.NOT_AN_IMAGE, Reason.EXCLUDED_BY_RULE})
"""Refusals that are no failures."""


def report(
    results: Sequence[Done],
    unreadable: Sequence[Unreadable],
    target: Path,
    *,
    as_json: bool,
    verbose: str,
) -> None:
    """Print what was written and what was not.

    Args:
        results: of every series.
        unreadable: files that could not be read, or are not DICOM images.
        target: folder of the results.
        as_json: print JSON instead of words.
        verbose: n, y (with affines) or 2 (with the instances that were left out, too).

    Raises:
        NodeError: nothing was written, an image was refused, or a file could not be read.
    """
    if as_json:
        say_exactly(json.dumps(_as_dict(results, unreadable, target), indent=1))
    else:
        _print(results, unreadable, target, verbose=verbose)
    written = sum(len(done.written) for done in results)
    skipped = sum(len(done.skipped) for done in results)
    refused = [
        error
        for done in results
        for error in done.conversion.refusals
        if error.reason not in _ON_PURPOSE
    ]
    unread = [one for one in unreadable if one.error is not None]
    if refused or unread:
        raise NodeError(f"{written} volumes written, {len(refused) + len(unread)} refused")
    if not written and not skipped:
        raise NodeError("none of the files could be converted to a volume")


def report_found(
    found: Sequence[Series], unreadable: Sequence[Unreadable], *, listed: bool, as_json: bool
) -> None:
    """Print what a search found, as dcm2niix's -q does.

    Args:
        found: every series.
        unreadable: files that are not DICOM images.
        listed: print the path of each file, too.
        as_json: print JSON instead of words.

    Raises:
        NodeError: there is no DICOM image.
    """
    paths = [one.file for series in found for one in series.instances]
    if as_json:
        each = [{"series_instance_uid": one.uid, "instances": len(one.instances)} for one in found]
        others = [{"path": str(one.path), "reason": one.reason} for one in unreadable]
        files = {"files": paths} if listed else {}
        say_exactly(json.dumps({"series": each, "unreadable": others} | files, indent=1))
    else:
        for path in paths if listed else ():
            say(path)
        say(f"Found {len(paths)} DICOM files of {len(found)} series.")
    if not paths:
        raise NodeError("there is no DICOM image")


def _print(
    results: Sequence[Done], unreadable: Sequence[Unreadable], target: Path, *, verbose: str
) -> None:
    for series, conversion, skipped in results:
        for product in conversion.products:
            if product in skipped:
                say(f"not overwritten: {target / product.files[0]}")
                continue
            size = "x".join(map(str, product.shape))
            say(f"{target / product.files[0]}  {size}")
            if verbose != "n":
                for row in product.affine:
                    say("    " + " ".join(f"{value:12.5f}" for value in row))
        for error in conversion.refusals:
            say(f"not a volume: {series.uid}: {error.reason}: {error.sentence}", err=True)
        for one in conversion.left_out if verbose == "2" else ():
            say(f"left out: {one.sop_instance_uid}: {one.reason}", err=True)
    for path, reason, _ in unreadable:
        say(f"not read: {path}: {reason}", err=True)
    if unreadable:
        say(f"{len(unreadable)} files are not DICOM images.", err=True)


def _as_dict(
    results: Sequence[Done], unreadable: Sequence[Unreadable], target: Path
) -> dict[str, Any]:
    return {
        "series": [
            {
                "series_instance_uid": done.series.uid,
                "instances": len(done.series.instances),
                "volumes": [_volume(product, target) for product in done.written],
                "skipped": [_volume(product, target) for product in done.skipped],
                "refused": [
                    {
                        "reason": str(error.reason),
                        "sentence": error.sentence,
                        "instances": list(error.instances),
                    }
                    for error in done.conversion.refusals
                ],
                "left_out": [
                    {"sop_instance_uid": one.sop_instance_uid, "reason": one.reason}
                    for one in done.conversion.left_out
                ],
            }
            for done in results
        ],
        "unreadable": [{"path": str(one.path), "reason": one.reason} for one in unreadable],
    }


def _volume(product: Product, target: Path) -> dict[str, Any]:
    return {
        "files": [str(target / file) for file in product.files],
        "shape": list(product.shape),
        "affine": [list(row) for row in product.affine],
        "sha256": product.sha256,
    }
