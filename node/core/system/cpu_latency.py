"""Keeps the processors from dozing off while senders wait for answers.

Between two steps of an answer a processor has nothing to do for some ten microseconds, dozes off,
and takes longer to wake up than the step took, most of all in a virtual machine. Linux lets a
program say that this must not be (PM QoS: Documentation/power/pm_qos_interface.rst), for as long as
it holds a device open.
"""

from __future__ import annotations

import logging
import os
from typing import Final

log = logging.getLogger(__name__)

DEVICE: Final = "/dev/cpu_dma_latency"
_AT_ONCE: Final = (0).to_bytes(4, "little")  # microseconds that waking up may take


class CpuLatency:
    """For one thread.

    Args:
        wanted: False leaves everything as it is.
        device: what to hold open.
    """

    def __init__(self, wanted: bool, device: str = DEVICE) -> None:
        self._wanted = wanted
        self._device = device
        self._handle: int | None = None

    @property
    def kept(self) -> bool:
        """Whether the processors are kept awake now."""
        return self._handle is not None

    def keep(self) -> None:
        """From now on, if the system lets us."""
        if self._handle is not None or not self._wanted:
            return
        try:
            self._handle = os.open(self._device, os.O_WRONLY)
            os.write(self._handle, _AT_ONCE)
        except OSError as error:
            self._wanted = False
            log.debug("processors are not kept awake: %s", error)
            self.let_go()

    def let_go(self) -> None:
        """No longer."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
