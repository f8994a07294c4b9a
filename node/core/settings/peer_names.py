"""Which peers of `dicom.peers` a sender is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from node.core.settings.model import PeerSettings


def names_of_peers(peers: Sequence[PeerSettings], ae_title: str, address: str) -> list[str]:
    """The names of the peers that a sender is.

    Args:
        peers: `dicom.peers`.
        ae_title: of the sender.
        address: its IP address.

    Returns:
        the peers of this title. If several peers share it, those whose `host` is the address; none
        if that does not say which one it is, so that no project gets what may be of another one.
    """
    titled = [known for known in peers if known.ae_title == ae_title]
    if len(titled) > 1:
        titled = [known for known in titled if known.host == address]
    return [known.name for known in titled]
