"""The states of a series: every event that can happen to it, and the state that follows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from node.core.errors import Permanent
from node.core.records import SeriesState


class Event(StrEnum):
    """What can happen to a series."""

    INSTANCE = "instance"  # a new or conflicting instance was stored
    SETTLE = "settle"  # no more instances are waited for
    HOLD = "hold"  # proven gaps with `incomplete: hold`, or an operator holds it
    GIVE_UP = "give-up"  # proven gaps with `incomplete: fail`
    START = "start"  # an executor took it
    PUBLISH = "publish"  # its volumes are visible, or were already
    REFUSE = "refuse"  # it is not a volume, and assembly said why
    CRASH = "crash"  # assembly failed, and trying again does not help
    REQUEUE = "requeue"  # the executor died or was stopped, or the disk was full
    REFERENCE = "reference"  # the series whose voxels it labels became another volume
    JOIN = "join"  # its images are a volume of a run that the scanner split into series
    REGROUP = "regroup"  # a volume of its run came, changed or left; or it left its run
    FORCE = "force"  # an operator: assemble it as it is
    RETRY = "retry"  # an operator: assemble it again
    RELEASE = "release"  # an operator: decide again by the evidence


_S = SeriesState
_MADE = (_S.READY, _S.NOT_A_VOLUME, _S.FAILED)
_AT_REST = (_S.READY, _S.NOT_A_VOLUME, _S.FAILED, _S.HELD)

TRANSITIONS: Mapping[tuple[SeriesState, Event], SeriesState] = MappingProxyType(
    {
        **{(state, Event.INSTANCE): _S.RECEIVING for state in _S},
        (_S.RECEIVING, Event.SETTLE): _S.SETTLED,
        (_S.RECEIVING, Event.GIVE_UP): _S.FAILED,
        **{(state, Event.HOLD): _S.HELD for state in _S},
        (_S.SETTLED, Event.START): _S.ASSEMBLING,
        (_S.ASSEMBLING, Event.PUBLISH): _S.READY,
        (_S.ASSEMBLING, Event.REFUSE): _S.NOT_A_VOLUME,
        (_S.ASSEMBLING, Event.CRASH): _S.FAILED,
        (_S.ASSEMBLING, Event.REQUEUE): _S.SETTLED,
        (_S.READY, Event.REFERENCE): _S.SETTLED,
        (_S.NOT_A_VOLUME, Event.REFERENCE): _S.SETTLED,
        **{(state, Event.JOIN): _S.JOINED for state in (*_MADE, _S.SETTLED, _S.JOINED)},
        **{(state, Event.REGROUP): _S.SETTLED for state in (*_MADE, _S.SETTLED, _S.JOINED)},
        (_S.RECEIVING, Event.FORCE): _S.SETTLED,
        **{(state, Event.FORCE): _S.SETTLED for state in _AT_REST},
        **{(state, Event.RETRY): _S.SETTLED for state in _AT_REST if state is not _S.HELD},
        (_S.HELD, Event.RETRY): _S.RECEIVING,
        (_S.HELD, Event.RELEASE): _S.RECEIVING,
    }
)
"""All transitions: (state, event) -> the next state."""


class NotNow(Permanent):
    """The series is in a state that does not allow this."""


def follow(state: SeriesState, event: Event) -> SeriesState:
    """The state that follows an event.

    Args:
        state: the series' state now.
        event: what happens to it.

    Returns:
        its next state.

    Raises:
        NotNow: the table has no such transition.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise NotNow(f"the series is {state}; {event} is not possible in this state") from None
