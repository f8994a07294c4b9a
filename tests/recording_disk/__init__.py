"""A disk that records what is done to it, and the power cuts that it then plays.

`Recorder` notes, in order, what a piece of the node writes, which names it gives and takes, what
it syncs, and what it answers. `power_cuts` makes of that every state in which a power cut may leave
the disk, after each operation: what was synced is there, and of the rest nothing, all or a part.
A new file needs a sync of its folder, and a new folder one of the folder above it.
"""

from tests.recording_disk.cuts import PowerCut, power_cuts
from tests.recording_disk.recorder import Recorder

__all__ = ["PowerCut", "Recorder", "power_cuts"]
