"""What conditions are compared with: the attributes of a series and where it came from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.core.query_keys import BY_KEYWORD, Level

CALLING: Final = "CallingAETitle"
CALLED: Final = "CalledAETitle"
PEER: Final = "Peer"
PULL_JOB: Final = "PullJob"
VERDICT: Final = "Verdict"
IMAGE_TYPE: Final = "ImageType"
OF_THE_NODE: Final = (CALLING, CALLED, PEER, PULL_JOB, VERDICT)
"""Keys that are no DICOM attributes: what the node itself knows of a series."""
KEYS: Final = (
    *sorted(
        keyword
        for keyword, attribute in BY_KEYWORD.items()
        if attribute.level is not Level.IMAGE and attribute.vr != "SQ"
    ),
    IMAGE_TYPE,
    *OF_THE_NODE,
)
"""Every key that a condition can have."""


@dataclass(frozen=True, slots=True)
class ConditionValues:
    """What is known of a series.

    Attributes:
        attributes: of the series, its study and its patient: keyword to value. ImageType has
            every value that any instance has.
        calling: AE titles of the peers that sent the series.
        called: AE titles under which the node was called by them.
        peers: names in `dicom.peers` of the peers that sent it or that it was fetched from.
        pull_jobs: names of the jobs that fetched it.
        verdict: of its completeness; empty if none was made yet.
    """

    attributes: Mapping[str, Any]
    calling: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    pull_jobs: tuple[str, ...] = ()
    verdict: str = ""

    def of(self, key: str) -> tuple[str, ...]:
        """The values of a key, as text; empty if it is absent.

        Args:
            key: one of `KEYS`.
        """
        known = {
            CALLING: self.calling,
            CALLED: self.called,
            PEER: self.peers,
            PULL_JOB: self.pull_jobs,
            VERDICT: (self.verdict,) if self.verdict else (),
        }
        if key in known:
            return known[key]
        value: Any = self.attributes.get(key)
        if value is None or value == "":
            return ()
        return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
