"""What a fetcher works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from node.completion.facts import Statement
from node.completion.study_decision import StudyStatement
from node.dimse.scu.retrieve import Received
from node.dimse.upper_layer.requestor import Destination


class Holdings(Protocol):
    """What the archive has, and what is said of series: see `node.storage.index.peers`."""

    def held(self, study_uid: str) -> Mapping[str, frozenset[str]]:
        """Series Instance UID -> SOP Instance UIDs."""
        ...

    def held_size(self, study_uid: str) -> tuple[int, int]:
        """Instances and bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a fetcher works with.

    Attributes:
        destination: the peer; a new one for each association, as deadlines are its own.
        own_title: the AE title that the peer sends to (C-MOVE).
        holdings: of the archive.
        settle: waits until what was answered is in the index.
        state: notes what the peer says of series, by their UIDs, as evidence for completion.
        state_study: notes which series the peer says that a study has.
        receiving: opens what makes instances of a C-GET durable.
        syntaxes: transfer syntaxes in which they may come.
        usual_classes: SOP classes to offer where the peer does not say which ones it will send.
        clock: seconds since 1970.
    """

    destination: Callable[[], Destination]
    own_title: str
    holdings: Holdings
    settle: Callable[[], bool]
    state: Callable[[Mapping[str, Statement]], None]
    state_study: Callable[[str, StudyStatement], None]
    receiving: Callable[[], AbstractContextManager[Callable[[Received], int]]]
    syntaxes: Sequence[str]
    usual_classes: Sequence[str]
    clock: Callable[[], float] = time.time
