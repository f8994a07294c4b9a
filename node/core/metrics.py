"""What the node counts about itself while it runs, for Prometheus. Never a word about a patient.

Only figures that nobody else keeps: what lies in the index is counted there when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable

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

for _outcome in Stored:
    INSTANCES.labels(_outcome)
for _end in (*(end for end in AssociationEnd if end is not AssociationEnd.OPEN), REJECTED):
    ASSOCIATIONS.labels(_end)


def counted() -> bytes:
    """All of it, with the process' own figures, in Prometheus' text format."""
    return generate_latest(REGISTRY)


def stored(outcome: Stored, size: int) -> None:
    """An instance of `size` bytes was answered 0x0000."""
    INSTANCES.labels(outcome).inc()
    BYTES.inc(size)


def refused(status: int) -> None:
    """An instance was refused with a DICOM status."""
    _relay(f"refused 0x{status:04X}")


def rejected() -> None:
    """An association was rejected."""
    _relay(REJECTED)


def heard(said: str) -> None:
    """Count what a process that receives has said."""
    what, _, status = said.partition(" ")
    if what == REJECTED:
        ASSOCIATIONS.labels(REJECTED).inc()
    elif what == "refused":
        REFUSALS.labels(status).inc()


def relay(tell: Callable[[str], None]) -> None:
    """Have refusals counted by another process, to which `tell` brings them."""
    global _relay  # noqa: PLW0603  like the counters, one for the process
    _relay = tell


_relay: Callable[[str], None] = heard


def assembled(state: str, seconds: float) -> None:
    """An assembly ended in a series state after so many seconds."""
    ASSEMBLY.labels(state).observe(seconds)
