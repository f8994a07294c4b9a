"""Revisions: what is published, replaced and withdrawn, and under which names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from node.core.errors import Reason
from node.core.events import NewDelivery, SeriesEvent
from node.lifecycle.assembly.fingerprint import fingerprint
from node.lifecycle.assembly.jobs import Assembled, Job, Refusal
from tests.simulator.bench import Bench, stage
from tests.unit.completion.builders import stack

STEM = "1.4/0003_MR_T1"
FILES = [f"{STEM}.json", f"{STEM}.manifest.json", f"{STEM}.nii.gz"]


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
