"""Metrics of the running node for Prometheus, without patient data.

Only figures that are kept nowhere else; figures of the index are counted there when scraped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import REGISTRY, Counter, Histogram, generate_latest

from node.core.records import AssociationEnd, Stored

REJECTED = "rejected"

INSTANCES = Counter(
    "rasnode_instances",
    "Instances that were answered 0x0000, by what became of them.",
    ["outcome"],
)
BYTES = Counter("rasnode_received_bytes", "Bytes of data sets that were answered 0x0000.")
REFUSALS = Counter("rasnode_refusals", "Instances that were refused, by DICOM status.", ["status"])
ASSOCIATIONS = Counter(
    "rasnode_associations",
    "Associations that carried instances by how they ended, and those that were rejected.",
    ["end"],
)
ASSEMBLY = Histogram(
    "rasnode_assembly_seconds",
    "How long it took to make a series' volumes, by the state that it ended in.",
    ["state"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500),
)
DISPLACEMENT = Histogram(
    "rasnode_framewise_displacement_mm",
    "Mean framewise displacement of 4D series, mm.",
    buckets=(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5),
)
TSNR = Histogram(
    "rasnode_tsnr",
    "Median temporal signal-to-noise ratio of 4D series.",
    buckets=(5, 10, 20, 30, 40, 50, 75, 100, 150, 250, 500, 1000),
)
SPIKES = Counter("rasnode_spikes", "Slices of 4D series whose signal is an outlier.")
DRIFT = Counter(
    "rasnode_protocol_drift",
    "Parameters of series that differ from the expected protocol.",
    ["parameter"],
)

for _outcome in Stored:
    INSTANCES.labels(_outcome)
for _end in (*(end for end in AssociationEnd if end is not AssociationEnd.OPEN), REJECTED):
    ASSOCIATIONS.labels(_end)


def counted() -> bytes:
    """Return all metrics and those of the process in Prometheus' text format."""
    return generate_latest(REGISTRY)


def stored(outcome: Stored, size: int) -> None:
    """Count an instance that was answered 0x0000.

    Args:
        outcome: whether it was new.
        size: bytes of its data set.
    """
    INSTANCES.labels(outcome).inc()
    BYTES.inc(size)


def refused(status: int) -> None:
    """Count an instance that was refused with a DICOM status."""
    _relay(f"refused 0x{status:04X}")


def rejected() -> None:
    """Count an association that was rejected."""
    _relay(REJECTED)


def count_line(line: str) -> None:
    """Count a line that a receiver process has relayed."""
    what, _, status = line.partition(" ")
    if what == REJECTED:
        ASSOCIATIONS.labels(REJECTED).inc()
    elif what == "refused":
        REFUSALS.labels(status).inc()


def relay(send: Callable[[str], None]) -> None:
    """Relay refusals to another process, which counts them by `count_line`."""
    global _relay  # noqa: PLW0603  like the counters, one for the process
    _relay = send


_relay: Callable[[str], None] = count_line


def assembled(state: str, seconds: float) -> None:
    """Count an assembly.

    Args:
        state: the series state in which it ended.
        seconds: how long it took.
    """
    ASSEMBLY.labels(state).observe(seconds)


def measured(quality: Mapping[str, Any] | None, drift: Sequence[str]) -> None:
    """Count the figures of a volume.

    Args:
        quality: its figures; None if they were not measured.
        drift: the parameters that differ from the expected protocol.
    """
    if quality is not None:
        for figure, histogram in (("fd_mean_mm", DISPLACEMENT), ("tsnr_median", TSNR)):
            if quality.get(figure) is not None:
                histogram.observe(quality[figure])
        SPIKES.inc(quality["spikes"])
    for parameter in drift:
        DRIFT.labels(parameter).inc()
