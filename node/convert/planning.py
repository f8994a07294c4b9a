"""Plans the volumes of a series from its headers, without reading pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from node.assemble.frames.model import InstanceHeader
from node.assemble.pixels.voxel_values import as_displayed
from node.assemble.series import SeriesPlan, VolumePlan, plan
from node.assemble.study_and_patient import contradiction
from node.convert.decoding import prepare
from node.convert.duplicates import without_copies
from node.convert.sources import InstanceSource, PixelReader, is_encapsulated
from node.convert.writing import OutputOptions
from node.core.errors import Reason


def plan_series(
    instances: Sequence[InstanceSource], options: OutputOptions
) -> tuple[SeriesPlan, PixelReader]:
    """Plan a series; returns the plan, and what reads the pixels of its frames.

    Args:
        instances: the instances of one series.
        options: how volumes are made.
    """
    mixed = contradiction([source.header for source in instances])
    if mixed is not None:
        return SeriesPlan((), (mixed,)), PixelReader(())
    unique, copies = without_copies(instances)
    if any(map(is_encapsulated, unique)):
        prepare()
    headers = [source.header for source in unique]
    if not options.precise:
        headers = [as_displayed(header) for header in headers]
    if not options.trigger_times:
        headers = [_untriggered(header) for header in headers]
    planned = plan(headers, even_out=options.resample_unequal, merge=options.merge)
    read = PixelReader(unique)
    volumes = tuple(one for one in planned.volumes if options.flat or len(one.grid[0]) > 1)
    planned = replace(planned, volumes=volumes, left_out=(*planned.left_out, *copies))
    return planned, read


def planned_volumes(
    instances: Sequence[InstanceSource], options: OutputOptions
) -> tuple[VolumePlan, ...]:
    """Return the volumes that a series makes, without reading pixels; empty if it is refused.

    Args:
        instances: the instances of one series.
        options: how volumes are made.
    """
    planned, _ = plan_series(instances, options)
    return () if is_mixed(planned) else planned.volumes


def is_mixed(planned: SeriesPlan) -> bool:
    """Tell whether a series was refused as its images are of several studies or patients.

    Args:
        planned: the plan.
    """
    return any(one.reason is Reason.CONTRADICTORY_IDENTITY for one in planned.refusals)


def _untriggered(header: InstanceHeader) -> InstanceHeader:
    frames = tuple(msgspec.structs.replace(one, trigger_time=None) for one in header.frames)
    return msgspec.structs.replace(header, frames=frames)
