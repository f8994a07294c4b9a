"""A node at work: series arrive, volumes are made, webhooks go out; and what of it is certain."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pydicom
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import CTImageStorage

from tests.hooks import Receiver
from tests.running import TITLE, RunningNode, configured, free_port
from tests.small import small_ct

SLICES = 6
_ATTEMPT_SECONDS = 4.0
_PAUSE_SECONDS = 0.3


class World:
    """A node with its sender and its receiver of webhooks.

    Args:
        faults: the file that names the fault point at which the node breaks.
    """

    def __init__(self, folder: Path, hook: Receiver) -> None:
        self._folder = folder
        self.faults = folder / "fault"
        self.faults.write_text("")
        self._hook = hook
        self.http = free_port()
        self.node: RunningNode = configured(
            folder / "node",
            [{"name": "hook", "webhook": {"url": hook.url}}],
            completion={"quiet_seconds": 0.5},
            http={"port": self.http},
            assembly={"workers": 2},
        )
        self.acknowledged: set[str] = set()
        self.sent: list[str] = []  # series of which every instance was acknowledged
        self._made = 0
        self._stopping = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the node, and again after it was killed."""
        self.node.start({"RASNODE_FAULT_POINT": str(self.faults)})

    def health(self) -> dict[str, Any] | None:
        """What `/health` says; None if nothing does."""
        with suppress(httpx.HTTPError):
            answer = httpx.get(f"http://127.0.0.1:{self.http}/health", timeout=5)
            said: dict[str, Any] = answer.json()
            assert (answer.status_code == 200) == said["healthy"]
            return said
        return None

    def keep_sending(self) -> None:
        """Send one series after the other from now on."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._send_on)
        self._thread.start()

    def stop_sending(self) -> None:
        """Once the one at hand is acknowledged."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(60)
            assert not self._thread.is_alive(), "a series could not be sent"

    def close(self) -> None:
        """Send nothing more, finished or not, and end the node."""
        self._closed.set()
        self.node.kill()
        self.stop_sending()

    def ready(self, series_uid: str) -> bool:
        """Whether it was told that a series is ready."""
        return any(
            item["event"] == "ready" and item["series"]["uid"] == series_uid
            if isinstance(item.get("series"), dict)
            else item["event"] == "ready" and series_uid in str(item)
            for item in list(self._hook.came)
        )

    def all_ready(self) -> bool:
        """Whether it was told of every series that was acknowledged."""
        return all(map(self.ready, self.sent))

    def send(self, seconds: float) -> str | None:
        """Send one series, whatever that takes; its UID, or None if it takes longer than that.

        What was acknowledged once is never sent again: the node has to have it.
        """
        self._made += 1
        paths = small_ct(self._folder / f"series-{self._made}", SLICES, announced=True)
        left = [pydicom.dcmread(path) for path in paths]
        uid = str(left[0].SeriesInstanceUID)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline and not self._closed.is_set():
            self._attempt(left)
            if left:
                time.sleep(_PAUSE_SECONDS)
        if left:
            return None
        self.sent.append(uid)
        return uid

    def _send_on(self) -> None:
        while not self._stopping.is_set():
            self.send(120)
            self._stopping.wait(_PAUSE_SECONDS)

    def _attempt(self, left: list[pydicom.Dataset]) -> None:
        ae = AE("CHAOS")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _ATTEMPT_SECONDS
        ae.connection_timeout = _ATTEMPT_SECONDS
        ae.add_requested_context(CTImageStorage)
        association = ae.associate("127.0.0.1", self.node.port, ae_title=TITLE)
        try:
            while left and association.is_established:
                try:
                    status = association.send_c_store(left[0])
                except (RuntimeError, ValueError):
                    return
                if status.get("Status") != 0x0000:
                    return
                self.acknowledged.add(str(left.pop(0).SOPInstanceUID))
        finally:
            if association.is_established:
                association.release()
            else:
                association.abort()
            _close(association)


def _close(association: Association) -> None:
    """What pynetdicom leaves to the garbage collector where nobody answers."""
    left = association.dul.socket
    if left is not None and left.socket is not None:
        left.socket.close()
