"""C-CANCEL requests are seen whenever they come, and mean the operation that they name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pydicom.dataset import Dataset

from node.dimse.scp.message_observer import Cancellations, Notifications

C_FIND_RQ, C_CANCEL_RQ, N_EVENT_REPORT_RSP = 0x0020, 0x0FFF, 0x8100


class Association:
    """Something to come from."""


def event(association: Association, field: int, **values: int) -> Any:
    command = Dataset()
    command.CommandField = field
    for keyword, value in values.items():
        setattr(command, keyword, value)
    return SimpleNamespace(assoc=association, message=SimpleNamespace(command_set=command))


def cancel(association: Association, message_id: int) -> Any:
    return event(association, C_CANCEL_RQ, MessageIDBeingRespondedTo=message_id)


def test_a_cancel_means_one_operation_of_one_association() -> None:
    seen, ours, theirs = Cancellations(), Association(), Association()
    seen.seen(cancel(ours, 7))
    assert (ours, 7) in seen
    assert (ours, 8) not in seen
    assert (theirs, 7) not in seen


def test_a_new_operation_is_not_cancelled_by_an_old_cancel() -> None:
    seen, ours = Cancellations(), Association()
    seen.seen(cancel(ours, 7))
    seen.seen(event(ours, C_FIND_RQ, MessageID=7))
    assert (ours, 7) not in seen


def test_any_number_of_idle_cancels_hides_no_real_one() -> None:
    seen, ours = Cancellations(), Association()
    for message_id in range(1000):
        seen.seen(cancel(ours, message_id))
    assert (ours, 999) in seen
    assert (ours, 1) not in seen


def test_answers_find_who_waits_for_them() -> None:
    notifications, ours, theirs = Notifications(), Association(), Association()
    with notifications.expected(ours) as (message_id, answered):  # type: ignore[arg-type]
        for whose in (theirs, ours):
            notifications.seen(
                event(
                    whose, N_EVENT_REPORT_RSP, MessageIDBeingRespondedTo=message_id, Status=0x0110
                )
            )
        assert answered == [0x0110]
    notifications.seen(
        event(ours, N_EVENT_REPORT_RSP, MessageIDBeingRespondedTo=message_id, Status=0)
    )
    assert answered == [0x0110]
