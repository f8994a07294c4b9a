"""Names by rules for all series of a folder, without a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from node.assemble.frames.model import InstanceHeader
from node.convert.naming.reproin import session_of
from node.convert.naming.rules import NamedVolume, Naming
from node.convert.naming.volume_values import header_attributes
from node.convert.planning import planned_volumes
from node.convert.sources import InstanceSource
from node.convert.writing import OutputOptions
from node.core.conditions.values import KEYS, ConditionValues
from node.core.output_rules import OutputRule

Instances = Sequence[InstanceSource]


def namings(
    series: Sequence[Instances],
    rules: Sequence[OutputRule],
    template: str,
    options: OutputOptions,
    *,
    dates: bool,
) -> list[Naming]:
    """Return what names the volumes of each series.

    Args:
        series: the instances of each.
        rules: of `output.rules`.
        template: `output.name`.
        options: how volumes are made.
        dates: whether names may have dates.
    """
    attributes = [header_attributes(_leading(instances)) for instances in series]
    studies: dict[object, list[Mapping[str, Any]]] = {}
    for one in attributes:
        studies.setdefault(one["StudyInstanceUID"], []).append(one)
    sessions = {
        study: session_of(members, dates=dates) if any(rule.use for rule in rules) else ""
        for study, members in studies.items()
    }
    made = [
        Naming(
            rules=tuple(rules),
            template=template,
            attributes=one,
            values=_values(one),
            series=f"{one['SeriesInstanceUID']} {number}",
            session=sessions[one["StudyInstanceUID"]],
        )
        for number, one in enumerate(attributes)
    ]
    siblings = [
        named.sibling
        for naming, instances in zip(made, series, strict=True)
        for named in naming.volumes(planned_volumes(instances, options))
        if isinstance(named, NamedVolume) and named.sibling is not None
    ]
    return [replace(naming, siblings=tuple(siblings)) for naming in made]


def _leading(instances: Instances) -> InstanceHeader:
    return min((one.header for one in instances), key=lambda header: header.sop_instance_uid)


def _values(attributes: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    known = ConditionValues(attributes)
    return {key: found for key in KEYS if (found := known.of(key))}
