"""Names by rules: which files appear, whatever arrives first, and what a person wrote stays."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from node.completion.facts import Source
from node.completion.study_decision import StudyStatement
from node.convert.naming.siblings import Sibling, key, scope_of, settle
from node.core import fault_points
from node.core.errors import Reason
from node.core.events import NewDelivery, SeriesEvent, StudyEvent
from node.core.output_names import render_name
from node.core.output_rules import OutputRule
from node.lifecycle.assembly.jobs import Assembled, Job, Product, Refusal
from tests.databases import migrated_postgresql
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack

T1 = OutputRule({"SeriesDescription": ("t1*",)}, {}, "sub-{PatientID}/anat/sub-{PatientID}_T1w")
EPI = OutputRule(
    {"SeriesDescription": ("fmap*",)}, {}, "sub-{PatientID}/fmap/sub-{PatientID}_dir-AP_epi"
)
BOLD = OutputRule(
    {"SeriesDescription": ("bold*",)}, {}, "sub-{PatientID}/func/sub-{PatientID}_task-a_bold"
)
NONE = OutputRule({"SeriesDescription": ("scout*",)}, {}, None)
RULES = (T1, EPI, BOLD, NONE)
EXCLUDED = Refusal(Reason.EXCLUDED_BY_RULE, "It is excluded.")


def by_rules(times: dict[str, int]) -> Callable[[Job], Assembled]:
    """Do as a worker does, with times instead of images."""

    def task(job: Job) -> Assembled:
        naming = job.naming
        assert naming is not None
        rule = next(one for one in naming.rules if not one.mismatch(naming.values))
        if rule.name is None:
            return Assembled(refusals=(EXCLUDED,))
        wanted = render_name(rule.name, naming.attributes)
        own = Sibling(naming.series, 0, wanted, scope_of(wanted), times[job.series_uid])
        place = settle((*naming.siblings, own))[key(own)]
        base = job.staging / place.stem
        base.parent.mkdir(parents=True)
        base.with_name(base.name + ".nii.gz").write_text(job.series_uid)
        base.with_name(base.name + ".json").write_text(json.dumps(dict(place.fields)))
        manifest = {"series_instance_uid": job.series_uid, "revision": job.revision}
        base.with_name(base.name + ".manifest.json").write_text(json.dumps(manifest))
        files = tuple(place.stem + end for end in (".nii.gz", ".json", ".manifest.json"))
        text = f"{job.series_uid} {dict(place.fields)}"
        product = Product(place.stem, files, text, {}, own, dict(place.fields))
        return Assembled((product,), siblings=(own,))

    return task


SERIES = {"1.1": ("t1", 30), "1.2": ("t1", 10), "1.3": ("t1", 20), "1.4": ("bold", 50)}
SERIES |= {"1.5": ("fmap", 40), "1.6": ("scout", 1)}
TIMES = {uid: at for uid, (_, at) in SERIES.items()}


class RuledBench(Bench):
    """A node with rules, whose events are kept."""

    def __init__(self, folder: Path, **values: object) -> None:
        self.events: list[SeriesEvent] = []

        def note(event: SeriesEvent) -> list[NewDelivery]:
            self.events.append(event)
            return []

        super().__init__(folder, rules=note, output_rules=RULES, **values)  # type: ignore[arg-type]

    def receive(self, uid: str, description: str) -> None:
        number = list(SERIES).index(uid) if uid in SERIES else 9
        images = [one._replace(uid=f"{uid}.{one.number}") for one in stack(3)]
        values = {"SeriesDescription": description, "SeriesNumber": str(number)}
        self.deliver(images, uid, PatientID="p", **values)

    def images(self) -> dict[str, str]:
        names = [name for name in self.files() if name.endswith(".nii.gz")]
        return {name: (self.output / name).read_text() for name in names}


EXPECTED = {
    "sub-p/anat/sub-p_run-01_T1w.nii.gz": "1.2",
    "sub-p/anat/sub-p_run-02_T1w.nii.gz": "1.3",
    "sub-p/anat/sub-p_run-03_T1w.nii.gz": "1.1",
    "sub-p/func/sub-p_task-a_bold.nii.gz": "1.4",
    "sub-p/fmap/sub-p_dir-AP_epi.nii.gz": "1.5",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a database; empty for SQLite."""
    if request.param == "sqlite":
        yield ""
        return
    with migrated_postgresql(request.getfixturevalue("server")) as made:
        yield made


@pytest.mark.parametrize("seed", range(3))
def test_the_dataset_is_the_same_whatever_arrives_first(
    tmp_path: Path, url: str, seed: int
) -> None:
    bench = RuledBench(tmp_path, url=url, task=by_rules(TIMES))
    order = list(SERIES)
    random.Random(seed).shuffle(order)
    for uid in order:
        bench.receive(uid, SERIES[uid][0])
        bench.run(random.Random(seed).choice([0.0, 3.0, 30.0]))
    bench.run(200.0)
    assert bench.images() == EXPECTED
    assert (bench.output / "sub-p/sub-p_scans.tsv").read_text().splitlines() == [
        "filename",
        *sorted(name.removeprefix("sub-p/") for name in EXPECTED),
    ]
    assert (bench.output / "participants.tsv").read_text() == "participant_id\nsub-p\n"
    assert bench.read("dataset_description.json")["DatasetType"] == "raw"
    bold = bench.read("sub-p/func/sub-p_task-a_bold.json")
    assert bold == {"B0FieldSource": "pepolar"}
    epi = bench.read("sub-p/fmap/sub-p_dir-AP_epi.json")
    assert epi["IntendedFor"] == ["bids::sub-p/func/sub-p_task-a_bold.nii.gz"]
    owners = {
        name: bench.read(name.replace(".nii.gz", ".manifest.json"))["series_instance_uid"]
        for name in EXPECTED
    }
    assert owners == EXPECTED
    outputs = {uid: bench.series(uid).outputs for uid in SERIES}
    found = {name: uid for uid, names in outputs.items() for name in names}
    assert {name: uid for name, uid in found.items() if name.endswith(".nii.gz")} == EXPECTED
    bench.index.close()


def test_a_series_that_a_late_sibling_renames_has_a_new_revision(tmp_path: Path) -> None:
    bench = RuledBench(tmp_path, task=by_rules(TIMES))
    bench.receive("1.1", "t1")
    bench.run(30.0)
    assert list(bench.images()) == ["sub-p/anat/sub-p_T1w.nii.gz"]
    table = bench.output / "sub-p/sub-p_scans.tsv"
    table.write_text("filename\tquality\nanat/sub-p_T1w.nii.gz\tblurred\n")
    bench.receive("1.2", "t1")
    bench.run(60.0)
    assert bench.images() == {
        "sub-p/anat/sub-p_run-01_T1w.nii.gz": "1.2",
        "sub-p/anat/sub-p_run-02_T1w.nii.gz": "1.1",
    }
    assert bench.series("1.1").revision == 2
    told = [one for one in bench.events if one.event_type == "superseded"]
    assert [one.series_uid for one in told] == ["1.1"]
    assert "sub-p/anat/sub-p_T1w.nii.gz" in told[0].files
    assert table.read_text().splitlines() == [
        "filename\tquality",
        "anat/sub-p_run-01_T1w.nii.gz\tn/a",
        "anat/sub-p_run-02_T1w.nii.gz\tblurred",
    ]
    bench.index.close()


@pytest.mark.parametrize("point", ["revision-begun", "revision-visible", "revision-finished"])
def test_a_crash_never_leaves_a_sibling_with_an_outdated_name(
    tmp_path: Path, url: str, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[set[str]] = []

    def note(event: StudyEvent) -> list[NewDelivery]:
        if event.event_type == "study-ready":
            told.append({name for one in event.series for name in one.told["outputs"]})
        return []

    bench = RuledBench(tmp_path, url=url, task=by_rules(TIMES), study_rules=note)
    bench.receive("1.1", "t1")
    bench.run(30.0)
    said = StudyStatement(Source.PULL, "PACS", bench.now, series=frozenset({"1.1", "1.2"}))
    bench.study_statements.add("1.4", said, "all")
    bench.receive("1.2", "t1")
    monkeypatch.setattr(fault_points, "_named", f"{point} raise")
    for _ in range(10):
        bench.run(0.5)
    monkeypatch.setattr(fault_points, "_named", None)
    assert not told
    bench.restart()
    bench.run(60.0)
    assert bench.images() == {
        "sub-p/anat/sub-p_run-01_T1w.nii.gz": "1.2",
        "sub-p/anat/sub-p_run-02_T1w.nii.gz": "1.1",
    }
    assert [{name for name in names if name.endswith(".nii.gz")} for names in told] == [
        set(bench.images())
    ]
    bench.index.close()


def test_times_that_change_swap_the_names_and_no_series_loses_its_image(tmp_path: Path) -> None:
    times = {"1.1": 10, "1.2": 20}
    bench = RuledBench(tmp_path, task=by_rules(times))
    bench.receive("1.1", "t1")
    bench.receive("1.2", "t1")
    bench.run(60.0)
    table = bench.output / "sub-p/sub-p_scans.tsv"
    rows = [f"anat/sub-p_run-0{n}_T1w.nii.gz\tof {n}" for n in (1, 2)]
    table.write_text("\n".join(["filename\tnote", *rows]) + "\n")
    times["1.1"] = 30  # as if an earlier slice had been a mistake
    late = stack(4)[3:]
    bench.deliver([one._replace(uid="1.1.4") for one in late], "1.1", PatientID="p")
    bench.run(300.0)
    assert bench.images() == {
        "sub-p/anat/sub-p_run-01_T1w.nii.gz": "1.2",
        "sub-p/anat/sub-p_run-02_T1w.nii.gz": "1.1",
    }
    assert [bench.state(uid) for uid in times] == ["ready", "ready"]
    assert table.read_text().splitlines()[1:] == [
        "anat/sub-p_run-01_T1w.nii.gz\tof 2",
        "anat/sub-p_run-02_T1w.nii.gz\tof 1",
    ]
    bench.index.close()


def test_what_a_rule_excludes_is_no_volume_and_says_so(tmp_path: Path) -> None:
    bench = RuledBench(tmp_path, task=by_rules(TIMES))
    bench.receive("1.6", "scout")
    bench.run(30.0)
    assert bench.state("1.6") == "not-a-volume"
    refusals = (bench.series("1.6").verdict or {})["refusals"]
    assert [one["reason"] for one in refusals] == ["excluded-by-rule"]
    assert bench.images() == {}
    bench.index.close()


def test_a_scan_that_is_no_volume_any_more_gives_its_run_back(tmp_path: Path) -> None:
    broken: set[str] = set()
    make = by_rules(TIMES)

    def task(job: Job) -> Assembled:
        if job.series_uid in broken:
            return Assembled((), (Refusal(Reason.NO_GEOMETRY, "There are no positions."),))
        return make(job)

    bench = RuledBench(tmp_path, task=task)
    bench.receive("1.1", "t1")
    bench.receive("1.2", "t1")
    bench.run(60.0)
    assert len(bench.images()) == 2
    broken.add("1.2")
    bench.deliver([one._replace(uid="1.2.4") for one in stack(4)[3:]], "1.2", PatientID="p")
    bench.run(200.0)
    assert bench.images() == {"sub-p/anat/sub-p_T1w.nii.gz": "1.1"}
    scans = (bench.output / "sub-p/sub-p_scans.tsv").read_text().split()
    assert scans == ["filename", "anat/sub-p_T1w.nii.gz"]
    bench.index.close()


def test_a_volume_that_cannot_be_read_does_not_keep_the_others_from_being_published(
    tmp_path: Path,
) -> None:
    make = by_rules(TIMES)

    def task(job: Job) -> Assembled:
        made = make(job)
        unreadable = structs.replace(made.siblings[0], number=1, wanted="sub-p/anat/sub-p_T2w")
        return replace(made, siblings=(*made.siblings, unreadable))

    bench = RuledBench(tmp_path, task=task)
    bench.receive("1.1", "t1")
    bench.run(60.0)
    assert bench.state("1.1") == "ready"
    assert bench.images() == {"sub-p/anat/sub-p_T1w.nii.gz": "1.1"}
    bench.index.close()
