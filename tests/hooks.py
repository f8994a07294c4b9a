"""A receiver of webhooks that a test can take down and bring back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.running import free_port


@dataclass
class Receiver:
    """What came, in order, and what it is answered with."""

    port: int
    status: int = 204
    came: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def events(self) -> list[tuple[str, int]]:
        """Event and revision of each delivery, repetitions of a key left out."""
        first = {item["key"]: (item["event"], item["revision"]) for item in reversed(self.came)}
        order = dict.fromkeys(item["key"] for item in self.came)
        return [first[key] for key in order]


@contextmanager
def listening(receiver: Receiver | None = None) -> Iterator[Receiver]:
    """Listen for webhooks, on the port of an earlier receiver if there was one."""
    made = receiver or Receiver(free_port())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.came.append({**json.loads(body), "header_key": self.headers["Idempotency-Key"]})
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", made.port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
