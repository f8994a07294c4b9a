"""The watcher on a real index: states, revisions, restarts. Time is arithmetic."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from node.completion.decision import Timing
from node.completion.facts import Count, Source, Statement
from node.core.errors import Permanent, Reason, StorageFull
from node.core.events import NewDelivery, SeriesEvent
from node.core.records import AssociationEnd, SeriesRecord, Stored, Verdict
from node.lifecycle.assembly.failures import MOST_UNEXPECTED_ERRORS, MOST_WORKER_DEATHS
from node.lifecycle.assembly.fingerprint import fingerprint
from node.lifecycle.assembly.jobs import Assembled, Job, Refusal, WorkerDied
from node.lifecycle.assembly.revision_publisher import RevisionPublisher
from tests.databases import migrated_postgresql
from tests.running import eventually
from tests.simulator.bench import Bench, stage
from tests.unit.completion.builders import stack, uids, without

STEM = "1.4/0003_MR_T1"
FILES = [f"{STEM}.json", f"{STEM}.manifest.json", f"{STEM}.nii.gz"]
IIA = Count.IMAGES_IN_ACQUISITION


@pytest.fixture(params=["sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """On either database."""
    with ExitStack() as database:
        url = ""
        if request.param == "postgresql":
            server = request.getfixturevalue("server")
            url = database.enter_context(migrated_postgresql(server))
        made = Bench(tmp_path, url=url)
        database.callback(made.index.close)
        yield made


def verdict(bench: Bench) -> str:
    return str((bench.series().verdict or {})["verdict"])


def sentences(bench: Bench) -> str:
    return " / ".join(item["reason"] for item in (bench.series().verdict or {})["reasons"])


def test_proof_needs_no_timer(bench: Bench) -> None:
    association = bench.open()
    bench.send(association, stack(30, announced={IIA: 30}))
    bench.run(0.2)  # the association is still open
    assert bench.state() == "ready"
    assert verdict(bench) == "complete"
    assert bench.files() == FILES
    assert bench.series().revision == 1
    assert bench.series().outputs == (f"{STEM}.nii.gz", f"{STEM}.json", f"{STEM}.manifest.json")


def test_without_proof_it_is_ready_a_quiet_time_after_release(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(4.9)
    assert (bench.state(), verdict(bench), bench.files()) == ("receiving", "unknown", [])
    bench.run(0.2)
    assert (bench.state(), verdict(bench), bench.files()) == ("ready", "unknown", FILES)


def test_while_an_association_stays_open_silence_has_to_last_longer(bench: Bench) -> None:
    association = bench.open()
    bench.send(association, stack(30))
    bench.run(59.0)
    assert bench.state() == "receiving"
    bench.run(2.0)
    assert bench.state() == "ready"
    bench.end(association)
    bench.run(100.0)
    assert bench.series().revision == 1


def test_an_association_that_ends_while_its_series_is_judged_is_not_slept_over(
    bench: Bench,
) -> None:
    association = bench.open()
    bench.send(association, stack(30))

    def end() -> None:
        bench.now += 0.001
        bench.end(association)

    bench.meanwhile = end
    bench.run(5.5)
    assert bench.state() == "ready"


def test_a_count_that_comes_while_its_series_is_judged_is_not_slept_over(bench: Bench) -> None:
    bench.deliver(stack(30)[:29])

    def say() -> None:
        bench.now += 0.001
        said = Statement(Source.SENDER_COUNT, "CT1", bench.now, count=29)
        bench.statements.add("1.5", said, reference="CT1")

    bench.meanwhile = say
    bench.run(0.2)
    assert (bench.state(), verdict(bench)) == ("ready", "complete")


def test_an_abort_is_waited_out_and_a_second_try_repairs_it(bench: Bench) -> None:
    association = bench.open()
    bench.send(association, stack(30)[:20])
    bench.end(association, AssociationEnd.ABORTED)
    bench.run(59.0)
    assert bench.state() == "receiving"
    bench.deliver(stack(30))
    bench.run(5.1)
    assert bench.state() == "ready"
    assert len(bench.read(f"{STEM}.nii.gz").splitlines()) == 30


def test_a_gap_is_held_and_filled_later(bench: Bench) -> None:
    """Verdict with the missing position, held, and revision 1 as soon as the slice comes."""
    whole = stack(30, announced={IIA: 30})
    bench.deliver(without(whole, 12))
    bench.run(49.0)
    assert (bench.state(), verdict(bench)) == ("receiving", "incomplete")
    bench.run(2.0)
    assert (bench.state(), bench.files()) == ("held", [])
    assert "at 27.5 mm" in sentences(bench)
    bench.deliver([whole[11]])
    bench.run(0.2)
    assert (bench.state(), bench.series().revision, bench.files()) == ("ready", 1, FILES)


def test_what_fills_the_gap_ends_the_waiting_although_nothing_proves_the_whole(
    bench: Bench,
) -> None:
    whole = stack(30)
    bench.deliver(without(whole, 12))
    bench.run(60.0)
    assert (bench.state(), verdict(bench)) == ("held", "incomplete")
    bench.deliver([whole[11]])
    bench.run(0.2)
    assert (bench.state(), bench.series().revision) == ("ready", 1)
    bench.deliver([stack(31)[30]])  # it had a tail after all
    bench.run(0.2)
    assert bench.state() == "receiving"  # and this time silence is waited for
    bench.run(20.0)
    assert (bench.state(), bench.series().revision) == ("ready", 2)


@pytest.mark.parametrize(("setting", "state"), [("convert", "ready"), ("fail", "failed")])
def test_what_becomes_of_gaps_is_a_setting(tmp_path: Path, setting: str, state: str) -> None:
    bench = Bench(tmp_path, timing=Timing(incomplete=setting))  # type: ignore[arg-type]
    bench.deliver(without(stack(30), 12))
    bench.run(51.0)
    assert (bench.state(), verdict(bench)) == (state, "incomplete")
    bench.index.close()


def test_a_late_slice_makes_another_revision_and_the_old_manifest_is_kept(bench: Bench) -> None:
    bench.deliver(stack(30)[:29])
    bench.run(6.0)
    assert bench.series().revision == 1
    bench.deliver(stack(30)[29:])
    bench.run(4.0)
    assert (bench.state(), bench.series().revision) == ("receiving", 1)
    bench.run(60.0)
    assert (bench.state(), bench.series().revision) == ("ready", 2)
    assert bench.files() == sorted([*FILES, f"{STEM}.manifest.r1.json"])
    assert bench.read(f"{STEM}.manifest.json")["revision"] == 2
    assert bench.read(f"{STEM}.manifest.r1.json")["revision"] == 1
    assert len(bench.read(f"{STEM}.nii.gz").splitlines()) == 30


def test_an_identical_resend_does_nothing_at_all(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(6.0)
    before = bench.series()
    bench.deliver(stack(30))
    bench.run(100.0)
    assert bench.series() == before
    assert len(bench.executor.jobs) == 1


def test_what_makes_no_difference_makes_no_revision(tmp_path: Path) -> None:
    """A conflict, say, that assembly leaves out: another look, the same result."""
    bench = Bench(tmp_path, task=lambda job: stage(_first_only(job)))
    first = stack(30)[:1]
    bench.deliver(first)
    bench.run(6.0)
    bench.deliver([first[0]._replace(acquisition=9)])
    assert bench.state() == "receiving"
    bench.run(60.0)
    assert (bench.state(), bench.series().revision, len(bench.executor.jobs)) == ("ready", 1, 2)
    assert bench.work.history(bench.series().pk)[-1]["detail"] == {
        "why": "nothing differs from revision 1"
    }
    bench.index.close()


def _first_only(job: Job) -> Job:
    return replace(job, instances=job.instances[:1])


def test_an_instance_that_comes_during_assembly_is_not_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30)[:29])
    bench.run(6.0)
    assert bench.state() == "assembling"
    bench.deliver(stack(30)[29:])
    bench.executor.work_off()
    bench.run(1.0)
    assert (bench.state(), bench.files()) == ("receiving", [])
    bench.run(10.0)
    bench.executor.work_off()
    bench.run(1.0)
    assert (bench.state(), bench.series().revision) == ("ready", 1)
    assert len(bench.read(f"{STEM}.nii.gz").splitlines()) == 30
    bench.index.close()


def test_an_assembly_that_was_overtaken_is_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30)[:29])
    bench.run(6.0)
    bench.deliver(stack(30)[29:])
    bench.run(30.0)
    assert (bench.state(), len(bench.executor.jobs)) == ("settled", 1)
    assert bench.executor.killed
    bench.executor.work_off()
    bench.run(1.0)
    bench.executor.work_off()
    bench.run(1.0)
    assert (bench.state(), bench.series().revision) == ("ready", 1)
    bench.index.close()


def test_series_of_one_name_never_share_a_file(bench: Bench) -> None:
    bench.deliver(stack(3), "1.5")
    bench.deliver([item._replace(uid=f"9.{item.number}") for item in stack(3)], "1.6")
    bench.run(10.0)
    images = [name for name in bench.files() if name.endswith(".nii.gz")]
    assert len(images) == 2
    assert f"{STEM}.nii.gz" in images
    assert all(name.startswith(STEM) for name in images)
    owners = {
        name: bench.read(name)["series_instance_uid"]
        for name in bench.files()
        if name.endswith(".manifest.json")
    }
    assert sorted(owners.values()) == ["1.5", "1.6"]


def test_a_volume_whose_name_another_series_has_takes_another(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, task=lambda job: stage(job, volumes=2 if job.series_uid == "1.6" else 1)
    )
    bench.deliver(stack(3), "1.5", SeriesDescription="T1_e2")
    bench.run(10.0)
    bench.deliver([item._replace(uid=f"9.{item.number}") for item in stack(3)], "1.6")
    bench.run(10.0)
    assert bench.state("1.6") == "ready"
    assert bench.read(f"{STEM}_e2.manifest.json")["series_instance_uid"] == "1.5"
    own = [name for name in bench.series("1.6").outputs if name.endswith(".nii.gz")]
    assert len(own) == 2
    assert f"{STEM}_e2.nii.gz" not in own
    bench.index.close()


def test_volumes_that_a_new_revision_no_longer_has_are_removed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, task=lambda job: stage(job, volumes=2 if len(job.instances) < 3 else 1))
    bench.deliver(stack(3)[:2])
    bench.run(10.0)
    assert f"{STEM}_e2.nii.gz" in bench.files()
    bench.deliver(stack(3)[2:])
    bench.run(60.0)
    assert bench.files() == sorted(
        [*FILES, f"{STEM}.manifest.r1.json", f"{STEM}_e2.manifest.r1.json"]
    )
    bench.index.close()


REFUSAL = Refusal(Reason.NO_GEOMETRY, "There are no positions.")


def test_refusals_only_are_no_volume(tmp_path: Path) -> None:
    bench = Bench(tmp_path, task=lambda _job: Assembled((), (REFUSAL,)))
    bench.deliver(stack(3))
    bench.run(10.0)
    assert (bench.state(), bench.series().revision) == ("not-a-volume", 0)
    assert (bench.series().verdict or {})["refusals"] == [
        {"reason": "no-geometry", "sentence": "There are no positions.", "instances": []}
    ]
    bench.index.close()


def test_pixels_that_cannot_be_decoded_are_a_failure(tmp_path: Path) -> None:
    refusal = Refusal(Reason.PIXELS_UNREADABLE, "It is broken.")
    bench = Bench(tmp_path, task=lambda _job: Assembled((), (refusal,)))
    bench.deliver(stack(3))
    bench.run(10.0)
    assert bench.state() == "failed"
    bench.index.close()


def test_a_volume_that_is_none_any_more_is_withdrawn(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        task=lambda job: Assembled((), (REFUSAL,)) if len(job.instances) > 2 else stage(job),
    )
    bench.deliver(stack(3)[:2])
    bench.run(10.0)
    assert bench.files() == FILES
    bench.deliver(stack(3)[2:])
    bench.run(60.0)
    assert (bench.state(), bench.series().revision) == ("not-a-volume", 2)
    assert bench.files() == [f"{STEM}.manifest.r1.json"]
    assert bench.series().outputs == ()
    bench.index.close()


def test_refusals_beside_volumes_are_kept_with_the_verdict(tmp_path: Path) -> None:
    bench = Bench(tmp_path, task=lambda job: stage(job, refusals=[REFUSAL]))
    bench.deliver(stack(3))
    bench.run(10.0)
    assert bench.state() == "ready"
    assert (bench.series().verdict or {})["refusals"][0]["reason"] == "no-geometry"
    bench.index.close()


@pytest.mark.parametrize(
    "error", [StorageFull("no space"), OSError(errno.ENOSPC, "No space left on device")]
)
def test_a_full_disk_is_waited_for_however_long(tmp_path: Path, error: Exception) -> None:
    troubles = [error] * 12

    def task(job: Job) -> Assembled:
        if troubles:
            raise troubles.pop()
        return stage(job)

    bench = Bench(tmp_path, task=task)
    bench.deliver(stack(3))
    bench.run(10.0)
    assert bench.state() == "settled"
    bench.run(7200.0)
    assert bench.state() == "ready"
    assert len(bench.executor.jobs) == 13
    bench.index.close()


def test_a_worker_that_dies_again_and_again_is_the_series_fault(tmp_path: Path) -> None:
    def task(job: Job) -> Assembled:
        raise WorkerDied("killed")

    bench = Bench(tmp_path, task=task)
    bench.deliver(stack(3))
    bench.run(60.0)
    assert (bench.state(), len(bench.executor.jobs)) == ("failed", MOST_WORKER_DEATHS)
    assert (bench.series().verdict or {})["refusals"][0]["reason"] == "worker-died"
    bench.index.close()


@pytest.mark.parametrize("where", ["submit", "conclude"])
def test_an_unexpected_error_of_the_node_costs_the_series_and_not_the_watcher(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    errors = []

    def failing(*_: object) -> None:
        errors.append(None)
        raise UnicodeError("Doe^John")

    if where == "submit":
        monkeypatch.setattr(bench.executor, "submit", failing)
    else:
        monkeypatch.setattr(RevisionPublisher, "conclude", failing)
    bench.deliver(stack(3))
    bench.run(60.0)
    assert (bench.state(), len(errors)) == ("failed", MOST_UNEXPECTED_ERRORS)
    refusal = (bench.series().verdict or {})["refusals"][0]
    assert refusal["reason"] == "UnicodeError"
    assert "reference" in refusal["sentence"]
    assert "Doe" not in str(refusal)
    bench.index.close()


@pytest.mark.parametrize("error", [Permanent("it cannot be"), ZeroDivisionError("Doe^John")])
def test_an_error_fails_the_series_and_not_the_watcher(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def task(job: Job) -> Assembled:
        if job.series_uid == "1.5":
            raise error
        return stage(job)

    bench = Bench(tmp_path, task=task)
    bench.deliver(stack(3))
    bench.deliver([item._replace(uid=f"9.{item.number}") for item in stack(3)], "1.6")
    bench.run(10.0)
    assert (bench.state(), bench.state("1.6")) == ("failed", "ready")
    assert "Doe" not in caplog.text
    bench.index.close()


def test_a_restart_forgets_nothing(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(3.0)
    bench.restart()
    bench.run(1.9)
    assert bench.state() == "receiving"
    bench.run(0.2)
    assert bench.state() == "ready"


def test_what_a_dead_run_left_in_assembly_is_taken_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(6.0)
    assert bench.state() == "assembling"
    bench.restart()
    bench.executor.at_once = True
    bench.run(0.1)
    assert (bench.state(), bench.series().revision) == ("ready", 1)
    bench.index.close()


def test_a_stop_requeues_what_is_not_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(6.0)
    bench.watcher.stop(0.0)
    assert bench.state() == "settled"
    assert bench.executor.closed
    assert list((bench.output / ".staging").iterdir()) == []
    bench.index.close()


def test_a_claim_is_renewed_while_the_job_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(600.0)
    assert bench.state() == "assembling"
    assert len(bench.executor.jobs) == 1
    assert (bench.series().due or 0.0) > bench.now
    bench.index.close()


def test_a_job_that_hangs_is_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(3700.0)
    assert bench.executor.killed
    bench.index.close()


def test_a_statement_is_heard_before_and_after_the_instances(bench: Bench) -> None:
    series = stack(30)
    listed = Statement(Source.MPPS, "CT1", bench.now, uids=uids(series))
    bench.statements.add("1.5", listed, reference="1.7")
    bench.deliver(series)
    bench.run(0.2)
    assert (bench.state(), verdict(bench)) == ("ready", "complete")


def test_a_list_that_names_more_than_is_here_is_noted_on_a_ready_series(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(6.0)
    more = Statement(Source.INSTANCE_AVAILABILITY, "PACS", bench.now, uids=frozenset({"1.2.99"}))
    bench.statements.add("1.5", more, reference="1.7")
    bench.run(1.0)
    assert (bench.state(), verdict(bench), bench.series().revision) == ("ready", "incomplete", 1)
    assert "1.2.99" in sentences(bench)


def test_an_answer_during_assembly_to_a_question_before_it_is_noted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    asked = bench.now
    bench.run(6.0)
    assert bench.state() == "assembling"
    said = Statement(Source.SENDER_COUNT, "PACS", asked, count=31)
    bench.statements.add("1.5", said, reference="PACS")
    bench.executor.work_off()
    bench.run(1.0)
    assert (bench.state(), verdict(bench)) == ("ready", "incomplete")
    bench.index.close()


def test_a_series_that_cannot_be_judged_is_assembled_and_stops_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.lifecycle import completion_watcher

    real = completion_watcher.gather

    def broken(facts, arrivals):  # type: ignore[no-untyped-def]
        if facts.instances[0].uid.startswith("9."):
            raise ZeroDivisionError
        return real(facts, arrivals)

    monkeypatch.setattr(completion_watcher, "gather", broken)
    bench.deliver([item._replace(uid=f"9.{item.number}") for item in stack(3)], "1.6")
    bench.deliver(stack(3))
    bench.run(10.0)
    assert (bench.state(), bench.state("1.6")) == ("ready", "ready")
    assert (bench.series("1.6").verdict or {})["verdict"] == Verdict.UNKNOWN


def test_interleaved_series_on_one_open_association(bench: Bench) -> None:
    association = bench.open()
    one, other = stack(30, announced={IIA: 30}), stack(20)
    for n in range(30):
        bench.send(association, one[n : n + 1], "1.5")
        if n < 20:
            bench.send(association, [other[n]._replace(uid=f"9.{n}")], "1.6")
        bench.now += 0.05
    bench.run(1.0)
    assert (bench.state("1.5"), bench.state("1.6")) == ("ready", "receiving")
    bench.run(60.0)
    assert bench.state("1.6") == "ready"
    assert len(bench.executor.jobs) == 2


def test_an_association_for_each_slice(bench: Bench) -> None:
    for item in stack(60):
        bench.deliver([item])
        bench.run(1.0)
    bench.run(6.0)
    assert (bench.state(), bench.series().revision, len(bench.executor.jobs)) == ("ready", 1, 1)


def test_several_senders_hours_apart_make_one_series(bench: Bench) -> None:
    whole = stack(12)
    for ae, part in (("CT1", whole[:4]), ("PACS", whole[4:8]), ("ARCHIVE", whole[6:])):
        association = bench.open(ae)
        bench.send(association, part)
        bench.end(association)
        bench.run(5 * 3600.0)
    series = bench.series()
    assert (series.state, series.instances, series.revision) == ("ready", 12, 3)
    carried = [arrival.calling_ae for arrival in bench.work.arrivals(series.pk)]
    assert carried == ["CT1", "PACS", "ARCHIVE"]
    assert [path for path in bench.files() if ".r" not in path] == FILES


def test_a_trickle_is_assembled_a_few_times_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for item in stack(100):
        bench.deliver([item])
        bench.run(7.0)
    bench.run(4000.0)
    assert bench.state() == "ready"
    assert len(bench.executor.jobs) <= 3
    bench.index.close()


def test_stored_again_under_the_same_uid_is_a_conflict(bench: Bench) -> None:
    bench.deliver(stack(3))
    bench.run(6.0)
    assert bench.send(bench.open(), [stack(3)[0]._replace(acquisition=9)]) == [Stored.CONFLICT]
    bench.run(100.0)
    assert (bench.state(), bench.series().revision) == ("ready", 2)


def test_an_index_that_was_made_again_takes_up_what_is_there(tmp_path: Path) -> None:
    def task(job: Job) -> Assembled:
        made = stage(job).products[0]
        return Assembled((replace(made, fingerprint=fingerprint(job.staging, made.files)),))

    told: list[str] = []

    def rules(event: SeriesEvent) -> list[NewDelivery]:
        told.append(str(event.event_type))
        return []

    bench = Bench(tmp_path, task=task, rules=rules)
    bench.deliver(stack(30)[:29])
    bench.run(10.0)
    bench.deliver(stack(30)[29:])
    bench.run(30.0)
    assert bench.series().revision == 2
    files = bench.files()
    bench.index.close()
    for path in tmp_path.glob("index.db*"):
        path.unlink()

    told.clear()
    again = Bench(tmp_path, task=task, rules=rules)
    again.deliver(stack(30))
    again.run(10.0)
    assert (again.state(), again.series().revision, again.files()) == ("ready", 2, files)
    assert told == []
    again.send(None, [stack(31)[30]])
    again.run(30.0)
    assert (again.series().revision, told) == (3, ["superseded", "ready"])
    again.index.close()


def test_the_end_of_its_association_is_not_waited_on(bench: Bench) -> None:
    association = bench.open()
    bench.send(association, stack(30, announced={IIA: 30}))
    bench.watcher.step()
    assert bench.state() == "receiving"  # more may be on its way
    bench.now += 0.005
    bench.end(association)
    bench.watcher.step()
    bench.watcher.step()
    assert bench.state() == "ready"


def test_series_are_judged_while_the_first_worker_loads(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = threading.Event()
    monkeypatch.setattr(bench.executor, "warm_up", loaded.wait)
    bench.deliver(stack(30, announced={IIA: 30}))
    bench.now += 1.0
    bench.watcher.start()
    try:
        eventually(lambda: bench.state() == "ready", 10, "it is judged")
    finally:
        loaded.set()
        bench.watcher.stop(5.0)


def test_an_association_for_each_instance_is_not_judged_each_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[float] = []
    judge = bench.watcher._judge

    def counted(series: SeriesRecord, now: float) -> None:
        judged.append(now)
        judge(series, now)

    monkeypatch.setattr(bench.watcher, "_judge", counted)
    for instance in stack(200):
        association = bench.open()
        bench.send(association, [instance])
        bench.now += 0.005
        bench.end(association)
        bench.watcher.step()
    assert 10 < len(judged) < 60


def test_log_records_carry_the_series_and_its_study(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "node.lifecycle")
    bench.deliver(stack(30))
    bench.run(10.0)
    fields = [(record.series, record.study) for record in caplog.records]  # type: ignore[attr-defined]
    assert fields == [("1.5", "1.4")] * 2
    assert "series 1.5 is settled" in caplog.messages[0]
    assert "revision 1 of series 1.5 is visible; the series is ready" in caplog.messages[1]
