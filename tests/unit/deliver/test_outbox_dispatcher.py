"""Deliveries: at least once, in order, over downtimes and restarts, until given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.core.events import Delivery, DeliveryState, NewDelivery
from node.core.supervision import Heartbeat
from node.deliver.outbox_dispatcher import LONGEST_PAUSE_SECONDS, OutboxDispatcher, Route
from node.deliver.targets.target import (
    LONGEST_ERROR,
    DeliveryFailed,
    DeliveryRefused,
    TargetUnavailable,
)
from node.storage.index.peers.outbox import Outbox
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack

HOUR = 3600.0


class Receiver:
    """Takes deliveries, or raises what a test says."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.tried = 0
        self.trouble: dict[str, Exception] = {}
        self.down: Exception | None = None

    def deliver(self, delivery: Delivery) -> None:
        self.tried += 1
        if self.down:
            raise self.down
        if delivery.key in self.trouble:
            raise self.trouble[delivery.key]
        self.taken.append(delivery.key)


class Office:
    """An outbox, a dispatcher and a clock."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.outbox, self.receiver = bench, Outbox(bench.index), Receiver()
        self.dispatcher = self.restart()

    def restart(self) -> OutboxDispatcher:
        self.dispatcher = OutboxDispatcher(self.outbox, lambda: self.bench.now)
        self.route = Route("hook", self.receiver, 3 * HOUR)
        self.dispatcher._routes = {"hook": self.route}
        return self.dispatcher

    def post(self, *keys: str, series: str = "1.5") -> None:
        items = [NewDelivery(key, "hook", "ready", 1, {}) for key in keys]
        self.outbox.add(self.bench.series(series).pk, items, self.bench.now)

    def pass_time(self, seconds: float) -> None:
        end = self.bench.now + seconds
        while self.bench.now < end:
            self.dispatcher.step("hook")
            due = self.outbox.next_due("hook")
            ahead = max(due or end, self.route.down_until, self.bench.now + 0.01)
            self.bench.now = min(end, ahead)
        self.dispatcher.step("hook")

    def states(self) -> dict[str, str]:
        found = self.outbox.of_series(self.bench.series("1.5").pk)
        found += self.outbox.of_series(self.bench.series("1.6").pk)
        return {item.key: str(item.state) for item in found}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    bench = Bench(tmp_path)
    bench.deliver(stack(3), "1.5")
    bench.deliver([item._replace(uid=f"9.{item.number}") for item in stack(3)], "1.6")
    yield Office(bench)
    bench.index.close()


def test_what_is_posted_arrives_once(office: Office) -> None:
    office.post("a", "b")
    office.post("a")
    office.pass_time(10)
    assert office.receiver.taken == ["a", "b"]
    assert office.states() == {"a": "delivered", "b": "delivered"}


def test_a_receiver_that_was_down_gets_everything_in_order(office: Office) -> None:
    office.receiver.down = TargetUnavailable("no answer")
    for number in range(12):
        office.post(f"{number:02}", series="1.5" if number % 3 else "1.6")
        office.pass_time(7)
    office.restart()
    office.pass_time(HOUR)
    tried = office.receiver.tried
    assert tried < 12 * 3 + HOUR / LONGEST_PAUSE_SECONDS + 12
    office.receiver.down = None
    office.post("zz")
    office.pass_time(LONGEST_PAUSE_SECONDS + 1)
    assert office.receiver.taken == [*(f"{number:02}" for number in range(12)), "zz"]


def test_the_pauses_between_attempts_double_up_to_300_seconds(office: Office) -> None:
    office.receiver.down = TargetUnavailable("no response")
    office.post("a")
    pauses = []
    for _ in range(11):
        office.bench.now = max(office.bench.now, office.route.down_until)
        office.dispatcher.step("hook")
        pauses.append(office.route.down_until - office.bench.now)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_log_records_name_the_delivery_and_its_series(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "node.deliver")
    office.receiver.trouble["a"] = DeliveryRefused("the receiver answered 422")
    office.post("a")
    office.post("b", series="1.6")
    office.dispatcher.step("hook")
    found = {record.series: record for record in caplog.records}  # type: ignore[attr-defined]
    assert found.keys() == {"1.5", "1.6"}
    assert all(isinstance(record.delivery, int) for record in found.values())  # type: ignore[attr-defined]
    assert "rasnode retry 1.5" in found["1.5"].getMessage()


def test_what_is_not_taken_holds_up_its_own_series_only(office: Office) -> None:
    office.receiver.trouble["a1"] = DeliveryFailed("exit code 1")
    office.post("a1", "a2")
    office.post("b1", "b2", series="1.6")
    office.pass_time(3)
    assert office.receiver.taken == ["b1", "b2"]
    office.receiver.trouble.clear()
    office.pass_time(10)
    assert office.receiver.taken == ["b1", "b2", "a1", "a2"]


def test_what_is_refused_for_good_is_dead_and_the_next_goes_on(office: Office) -> None:
    office.receiver.trouble["a"] = DeliveryRefused("the receiver answered 422")
    office.post("a", "b")
    office.pass_time(3)
    assert office.states() == {"a": "dead", "b": "delivered"}
    (dead,) = office.outbox.in_state(DeliveryState.DEAD)
    assert (dead.error, dead.attempts) == ("the receiver answered 422", 1)


def test_the_dead_can_be_taken_up_again(office: Office) -> None:
    office.receiver.trouble["a"] = DeliveryRefused("the receiver answered 422")
    office.post("a")
    office.pass_time(3)
    office.receiver.trouble.clear()
    assert office.outbox.revive(office.bench.now, office.bench.series("1.6").pk) == 0
    assert office.outbox.revive(office.bench.now) == 1
    office.pass_time(3)
    assert office.receiver.taken == ["a"]


def test_after_the_time_set_it_is_given_up(office: Office) -> None:
    office.receiver.down = TargetUnavailable("no answer")
    office.post("a")
    office.pass_time(2.9 * HOUR)
    assert office.states() == {"a": "pending"}
    office.pass_time(0.2 * HOUR)
    assert office.states() == {"a": "dead"}


def test_a_receiver_that_asks_to_be_left_alone_is(office: Office) -> None:
    office.receiver.down = TargetUnavailable("the receiver answered 429", after=600)
    office.post("a")
    office.pass_time(599)
    assert office.receiver.tried == 1


def test_a_crash_between_delivering_and_noting_it_delivers_again_under_the_same_key(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.post("a", "b")

    def cut(_name: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("node.deliver.outbox_dispatcher.fault_point", cut)
        with pytest.raises(KeyboardInterrupt):
            office.dispatcher.step("hook")
    office.restart()
    office.pass_time(3)
    assert office.receiver.taken == ["a", "a", "b"]


def test_a_thread_for_each_target_delivers_and_stops(office: Office) -> None:
    import threading

    done = threading.Event()
    receiver = office.receiver

    class Telling(Receiver):
        def deliver(self, delivery: Delivery) -> None:
            receiver.deliver(delivery)
            done.set()

    dispatcher = OutboxDispatcher(office.outbox, lambda: office.bench.now)
    dispatcher.start({"hook": Route("hook", Telling(), HOUR)})
    office.post("a")
    dispatcher.wake()
    assert done.wait(20)
    dispatcher.stop(5)
    assert receiver.taken == ["a"]


def test_deliveries_to_a_target_that_was_removed_are_logged(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.post("a")
    dispatcher = OutboxDispatcher(office.outbox, lambda: office.bench.now)
    dispatcher.start({})
    dispatcher.stop(1)
    assert "targets that the settings no longer have: hook" in caplog.text
    assert office.states() == {"a": "pending"}


def test_an_unexpected_error_costs_one_attempt_and_its_text_is_not_kept(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.receiver.trouble["a1"] = UnicodeEncodeError("utf-8", "DOE^JANE", 0, 1, "DOE^JANE")
    office.receiver.trouble["b1"] = RuntimeError("DOE^JANE")
    office.post("a1", "a2")
    office.post("b1", series="1.6")
    office.post("b2", series="1.6")
    office.dispatcher.step("hook")
    errors = {item.key: item.error for item in office.outbox.in_state(DeliveryState.PENDING)}
    assert errors["a1"].startswith("unusable-text: ")
    assert "(UnicodeEncodeError); look up reference " in errors["a1"]
    assert errors["b1"].startswith("internal-error: ")
    assert "RuntimeError" in caplog.text
    assert "in deliver" in caplog.text  # where it happened
    assert "DOE" not in caplog.text + str(errors)
    office.receiver.trouble.clear()
    office.pass_time(10)
    assert office.receiver.taken == ["a1", "a2", "b1", "b2"]


def test_a_targets_output_goes_shortened_into_the_outbox_and_never_into_the_log(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.receiver.trouble["a"] = DeliveryFailed("exit code 1", "said\n\0\ud800 " + "x" * 100_000)
    office.post("a")
    office.dispatcher.step("hook")
    (waiting,) = office.outbox.in_state(DeliveryState.PENDING)
    assert waiting.error.startswith("exit code 1: said    x")
    assert len(waiting.error) < LONGEST_ERROR + 10
    assert "exit code 1" in caplog.text
    assert "said" not in caplog.text
    office.pass_time(4 * HOUR)
    (dead,) = office.outbox.in_state(DeliveryState.DEAD)
    assert dead.error.startswith("given up after")
    assert "exit code 1: said    x" in dead.error
    assert len(dead.error) < LONGEST_ERROR + 10
    assert "said" not in caplog.text


def test_a_target_may_take_its_time_and_is_said_to_hang_after_that(office: Office) -> None:
    heartbeat = Heartbeat("deliveries to hook", vital=False)
    limits = []

    class Asking(Receiver):
        def deliver(self, delivery: Delivery) -> None:
            limits.append(heartbeat.sign().limit)

    office.dispatcher._routes = {"hook": Route("hook", Asking(), HOUR, longest=600)}
    office.post("a")
    office.dispatcher.step("hook", heartbeat)
    assert limits == [heartbeat.sign().limit + 600]
