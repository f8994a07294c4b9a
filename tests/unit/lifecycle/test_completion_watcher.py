"""The watcher on a real index: states, waiting, restarts. Time is arithmetic."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from node.completion.decision import Timing
from node.completion.facts import Count, Source, Statement
from node.core.records import AssociationEnd, SeriesRecord, Stored, Verdict
from tests.running import eventually
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack, uids, without

STEM = "1.4/0003_MR_T1"
FILES = [f"{STEM}.json", f"{STEM}.manifest.json", f"{STEM}.nii.gz"]
IIA = Count.IMAGES_IN_ACQUISITION


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


def test_a_restart_forgets_nothing(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(3.0)
    bench.restart()
    bench.run(1.9)
    assert bench.state() == "receiving"
    bench.run(0.2)
    assert bench.state() == "ready"


def test_a_stop_requeues_what_is_not_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(30))
    bench.run(6.0)
    bench.watcher.stop(0.0)
    assert bench.state() == "settled"
    assert bench.executor.closed
    assert list((bench.output / ".staging").iterdir()) == []
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
