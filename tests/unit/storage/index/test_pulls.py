"""Jobs that fetch from peers, as command and node see them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.core.pulls import ItemState, JobState, NewPull, Order, PullStudy
from node.storage.index.engine import Index
from node.storage.index.peers import pulls as module
from node.storage.index.peers.holdings import StudyHoldings
from node.storage.index.peers.pulls import NameTaken, NoSuchJob, Pulls
from node.storage.index.store import Store
from tests.unit.storage.index.test_store import record

NEW = NewPull("cohort", "pacs", ((2, {"PatientID": "1"}), (3, {"PatientID": "2"})))


def test_a_job_is_there_with_its_rows(index: Index) -> None:
    pulls = Pulls(index)
    pulls.create(replace(NEW, window="20:00-06:00", rate="5/min", series={"Modality": "MR"}), 7.0)
    (job,) = pulls.active()
    assert (job.name, job.peer, job.state, job.created_at) == ("cohort", "pacs", "waiting", 7.0)
    assert (job.window, job.rate, job.series) == ("20:00-06:00", "5/min", {"Modality": "MR"})
    assert [(one.row, one.query) for one in pulls.items(job)] == list(NEW.rows)
    assert pulls.counts(job) == {ItemState.WAITING: 2}


def test_a_name_is_given_once(index: Index) -> None:
    pulls = Pulls(index)
    pulls.create(NEW, 0.0)
    with pytest.raises(NameTaken, match="cohort"):
        pulls.create(NEW, 1.0)
    with pytest.raises(NoSuchJob, match="other"):
        pulls.jobs("other")
    with pytest.raises(NoSuchJob, match="other"):
        pulls.order("other", Order.PAUSE)


def test_an_order_stands_until_it_has_been_done(index: Index) -> None:
    pulls = Pulls(index)
    pulls.create(NEW, 0.0)
    pulls.order("cohort", Order.PAUSE)
    (job,) = pulls.active()
    assert job.order is Order.PAUSE
    pulls.order("cohort", Order.CANCEL)  # meanwhile a person changes their mind
    pulls.set_state(job, JobState.PAUSED, 1.0, done=True)
    (job,) = pulls.active()
    assert job.order is Order.CANCEL
    pulls.set_state(job, JobState.CANCELLED, 2.0, done=True)
    assert pulls.active() == []
    assert pulls.jobs("cohort")[0].ended_at == 2.0


def test_what_ran_when_the_node_ended_waits_again(index: Index) -> None:
    pulls = Pulls(index)
    pulls.create(NEW, 0.0)
    (job,) = pulls.active()
    first, second = pulls.due(job, 0.0, 10)
    for item in (first, second):
        pulls.set_item(item, ItemState.RUNNING)
    pulls.release_running([second.pk])
    assert [one.pk for one in pulls.due(job, 0.0, 10)] == [first.pk]
    pulls.release_running()
    assert len(pulls.due(job, 0.0, 10)) == 2


def test_only_what_is_not_complete_is_tried_again(index: Index) -> None:
    pulls = Pulls(index)
    pulls.create(NEW, 0.0)
    (job,) = pulls.active()
    first, second = pulls.items(job)
    pulls.set_item(first, ItemState.COMPLETE)
    pulls.set_item(second, ItemState.FAILED, reason="away", tries=3, due=99.0)
    pulls.begin_again(job)
    assert [one.state for one in pulls.items(job)] == [ItemState.COMPLETE, ItemState.WAITING]
    (due,) = pulls.due(job, 0.0, 10)
    assert (due.pk, due.tries, due.reason) == (second.pk, 0, "")


def test_studies_and_how_much_of_them_is_here(index: Index) -> None:
    pulls = Pulls(index)
    pulls.create(NEW, 0.0)
    (job,) = pulls.active()
    first, _ = pulls.items(job)
    study = PullStudy("1.2", ItemState.RUNNING, 10, 0, ("1.2.3",), 1)
    counted = PullStudy("1.3", ItemState.RUNNING, None, 0, {"1.3.1": 4}, 4)
    pulls.set_studies(first, [study, counted])
    assert pulls.studies(job) == {first.pk: [study, counted]}
    pulls.set_received(first, "1.2", 4)
    assert pulls.progress(job) == (10, 4)
    pulls.set_received(first, "1.2", 11)  # more than are expected are not of this study's list
    assert pulls.progress(job) == (10, 4)


def test_jobs_that_are_over_are_not_kept_for_ever(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT", 2)
    pulls = Pulls(index)
    for number in range(6):
        pulls.create(replace(NEW, name=f"job-{number}"), 0.0)
        (job,) = pulls.jobs(f"job-{number}")
        if number:  # the first one goes on
            pulls.set_studies(pulls.items(job)[0], [PullStudy("1.2", ItemState.COMPLETE)])
            pulls.set_state(job, JobState.DONE, 1.0)
    names = [job.name for job in pulls.jobs()]
    assert names == ["job-0", "job-3", "job-4", "job-5"]


def test_a_way_is_remembered(index: Index) -> None:
    pulls = Pulls(index)
    assert pulls.way("pacs") is None
    pulls.remember_way("pacs", "get", 0.0)
    pulls.remember_way("pacs", "move", 1.0)
    assert pulls.way("pacs") == "move"


def test_what_the_archive_has_of_a_study(index: Index) -> None:
    holdings = StudyHoldings(index)
    assert (holdings.held("1.9.1"), holdings.held_size("1.9.1")) == ({}, (0, 0))
    received = [record(1), record(2), record(3, series=2), record(4, study=2)]
    Store(index).add([(one, None) for one in received])
    assert holdings.held("1.9.1") == {
        "1.8.1.1": {"1.2.1.1.1", "1.2.1.1.2"},
        "1.8.1.2": {"1.2.1.2.3"},
    }
    assert holdings.held_size("1.9.1") == (3, 11 + 12 + 13)
