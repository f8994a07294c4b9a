"""`/metrics`: counters of the running node, and figures of the index and the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.core import metrics
from node.core.errors import OF_FILES
from node.core.records import SeriesState
from node.core.supervision import LoopState
from node.core.version import VERSION
from node.storage.archive import Archive
from node.storage.index.search.latest import Latest
from node.storage.index.series.conflicts import Copies
from node.storage.index.series.damages import Damages
from node.storage.quarantine import Kind, Left


class Metrics:
    """All metrics of the node for Prometheus.

    Args:
        totals: as `index.listing.Listing.totals`.
        latest, damages, archive: of the node.
        quarantine: files in quarantine, by sender.
        conflicts: conflicting versions of instances, by sender.
        signs: the heartbeats of all threads and processes of the node.
        clock: seconds since 1970, UTC.
    """

    def __init__(
        self,
        totals: Callable[[], dict[str, int]],
        latest: Latest,
        damages: Damages,
        archive: Archive,
        quarantine: Callable[[], Sequence[Left]],
        conflicts: Callable[[], Sequence[Copies]],
        signs: Callable[[], Sequence[LoopState]],
        clock: Callable[[], float],
    ) -> None:
        self._figures = CollectorRegistry()
        self._figures.register(
            _Figures(totals, latest, damages, archive, quarantine, conflicts, signs, clock)
        )

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return metrics.counted() + generate_latest(self._figures)


class _Figures(Collector):
    def __init__(
        self,
        totals: Callable[[], dict[str, int]],
        latest: Latest,
        damages: Damages,
        archive: Archive,
        quarantine: Callable[[], Sequence[Left]],
        conflicts: Callable[[], Sequence[Copies]],
        signs: Callable[[], Sequence[LoopState]],
        clock: Callable[[], float],
    ) -> None:
        self._totals = totals
        self._latest = latest
        self._damages = damages
        self._archive = archive
        self._quarantine = quarantine
        self._conflicts = conflicts
        self._signs = signs
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges, read now."""
        totals = self._totals()
        series = GaugeMetricFamily("rasnode_series", "Series by state.", labels=["state"])
        for state in SeriesState:
            series.add_metric([state], totals.get(f"series_{state}", 0))
        yield series
        held = GaugeMetricFamily(
            "rasnode_held",
            "Studies, series, instances and conflicts in the archive.",
            labels=["level"],
        )
        for level in ("studies", "series", "instances", "conflicts"):
            held.add_metric([level], totals[level])
        yield held
        yield from self._beside()
        damaged = GaugeMetricFamily(
            "rasnode_damaged_files",
            "Archived and published files that are damaged or lost.",
            labels=["reason"],
        )
        counted = self._damages.count()
        for reason in OF_FILES:
            damaged.add_metric([reason], counted.get(reason, 0))
        yield damaged
        since = self._latest.waiting_since()
        yield GaugeMetricFamily(
            "rasnode_oldest_waiting_seconds",
            "How long the oldest settled series has waited to be assembled.",
            value=max(0.0, self._clock() - since) if since is not None else 0.0,
        )
        yield GaugeMetricFamily(
            "rasnode_disk_free_bytes",
            "Free bytes on the disk of the archive.",
            value=self._archive.free_bytes(),
        )
        ages = GaugeMetricFamily(
            "rasnode_heartbeat_age_seconds",
            "Seconds since the last heartbeat of each thread and process of the node.",
            labels=["loop"],
        )
        for sign in self._signs():
            ages.add_metric([sign.name], sign.age)
        yield ages
        version = GaugeMetricFamily(
            "rasnode_build", "Always 1; the label has the version.", labels=["version"]
        )
        version.add_metric([VERSION], 1)
        yield version

    def _beside(self) -> Iterator[Metric]:
        """Files in quarantine and conflicting versions of instances."""
        left = self._quarantine()
        files = GaugeMetricFamily(
            "rasnode_quarantine_files",
            "Files in quarantine: refused, or acknowledged and not ingested.",
            labels=["kind"],
        )
        size = GaugeMetricFamily(
            "rasnode_quarantine_bytes", "Bytes of the files in quarantine.", labels=["kind"]
        )
        for kind in Kind:
            files.add_metric([kind], sum(one.files for one in left if one.kind is kind))
            size.add_metric([kind], sum(one.size for one in left if one.kind is kind))
        yield files
        yield size
        yield GaugeMetricFamily(
            "rasnode_conflict_bytes",
            "Bytes of conflicting versions of archived instances.",
            value=sum(one.size for one in self._conflicts()),
        )
