"""Builds the completion watcher with all that it works with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from node.completion.decision import Timing
from node.convert import OutputOptions
from node.core.output_rules import OutputRule
from node.core.system.disk import free_bytes
from node.lifecycle.assembly.dataset_tables import DatasetTables
from node.lifecycle.assembly.failures import AssemblyFailures
from node.lifecycle.assembly.label_references import LabelReferences
from node.lifecycle.assembly.name_disputes import NameDisputes
from node.lifecycle.assembly.outcomes import Outcomes
from node.lifecycle.assembly.output_folder import OutputFolder
from node.lifecycle.assembly.output_name_claims import OutputNameClaims
from node.lifecycle.assembly.precompression import IdleProcess, Precompression
from node.lifecycle.assembly.revision_publisher import RevisionPublisher
from node.lifecycle.assembly.ruled_names import RuledNames
from node.lifecycle.assembly.scheduler import AssemblyScheduler, Executor
from node.lifecycle.completion_watcher import CompletionWatcher, CountQuery
from node.lifecycle.event_publisher import EventPublisher, Rules
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.expectations import Expectations
from node.lifecycle.series_origins import PeerNames, SeriesOrigins
from node.lifecycle.split_runs import SplitRuns
from node.lifecycle.studies.missing_series import MissingSeries
from node.lifecycle.studies.study_watcher import SeriesQuery, StudyRules, StudyWatcher
from node.storage.index.engine import Index
from node.storage.index.peers.statements import Statements
from node.storage.index.series.clock_correction import correct_future_times
from node.storage.index.series.damages import Damages
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.publications import Publications
from node.storage.index.series.references import References
from node.storage.index.series.runs import Runs
from node.storage.index.series.siblings import Siblings
from node.storage.index.series.work import Work
from node.storage.index.studies.studies import Studies


def make_completion_watcher(
    index: Index,
    executor: Executor,
    *,
    archive: Path,
    output: Path,
    template: str,
    options: OutputOptions,
    timing: Callable[[Sequence[str]], Timing],
    owner: str,
    clock: Callable[[], float],
    rules: Rules = lambda _event: (),
    study_rules: StudyRules = lambda _event: (),
    has_targets: Callable[[], bool] = lambda: True,
    study_quiet: float = 60.0,
    peer_names: PeerNames = lambda _title, _address: (),
    count_query: CountQuery | None = None,
    series_query: SeriesQuery | None = None,
    stepped: Callable[[], None] = lambda: None,
    idle_process: IdleProcess | None = None,
    minimum_free: int = 0,
    output_rules: Sequence[OutputRule] = (),
    monotonic: Callable[[], float] = time.monotonic,
    expectations: Callable[[], Expectations] = Expectations,
) -> CompletionWatcher:
    """Build a watcher.

    Args:
        index: the database.
        executor: runs the assemblies.
        archive: the folder that the instances' paths are relative to.
        output: the folder that volumes are published in.
        template: `output.name`.
        options: which files are made of a volume.
        timing: returns the settings of `completion` for the AE titles that sent a series.
        owner: identifies this run of the node.
        clock: returns seconds since 1970.
        rules: returns the deliveries of an event.
        study_rules: returns the deliveries of an event of a study.
        has_targets: whether `rules` may return any.
        study_quiet: `completion.study_quiet_seconds`.
        peer_names: returns the names in `dicom.peers` of a sender.
        count_query: asks senders for counts; None: no sender is asked.
        series_query: asks senders which series a study has; None: no sender is asked.
        stepped: called after each step of the watcher.
        idle_process: compresses slices of series that are still being received; None: nothing does.
        minimum_free: bytes of the output folder's disk that it leaves free.
        output_rules: `output.rules`.
        monotonic: returns seconds of a monotonic clock.
        expectations: returns the protocols that volumes and studies are compared with.

    Returns:
        the watcher, not yet started.
    """
    work, publications, output_folder = Work(index), Publications(index), OutputFolder(output)
    origins = SeriesOrigins(work, peer_names)
    ruled = RuledNames(
        work,
        Siblings(index),
        origins,
        DatasetTables(output_folder, dates=options.identifiers),
        output_rules,
        template,
        dates=options.identifiers,
    )
    output_names = OutputNameClaims(work, output_folder, template, ruled)
    namesakes = Namesakes(index)
    label_references = LabelReferences(work, References(index), namesakes)
    outcomes = Outcomes(
        work,
        publications,
        output_folder,
        ruled,
        EventPublisher(origins, rules, has_targets),
        label_references,
    )
    revision_publisher = RevisionPublisher(
        work,
        publications,
        output_folder,
        ruled,
        NameDisputes(publications, output_names, ruled, outcomes),
        outcomes,
        Damages(index),
    )
    woken = threading.Event()
    precompression = Precompression(
        work,
        output_folder,
        idle_process,
        archive=archive,
        options=options,
        has_room=lambda size: free_bytes(output) > minimum_free + size,
    )
    assembly_scheduler = AssemblyScheduler(
        work,
        output_folder,
        output_names,
        revision_publisher,
        AssemblyFailures(work, outcomes),
        label_references,
        namesakes,
        executor,
        precompression,
        archive=archive,
        options=options,
        owner=owner,
        wake=woken.set,
        monotonic=monotonic,
        expected=lambda series: expectations().of(series, origins),
    )
    return CompletionWatcher(
        work,
        EvidenceLoader(work, Statements(index)),
        assembly_scheduler,
        outcomes,
        precompression,
        SplitRuns(work, Runs(index), namesakes, outcomes, timing),
        timing=timing,
        clock=clock,
        count_query=count_query,
        woken=woken,
        stepped=stepped,
        judge_studies=StudyWatcher(
            Studies(index),
            work,
            origins,
            study_rules,
            quiet=study_quiet,
            missing_series=MissingSeries(work, origins, expectations).of,
            series_query=series_query,
            has_targets=has_targets,
        ).step,
        bring_back=partial(correct_future_times, index),
        monotonic=monotonic,
    )
