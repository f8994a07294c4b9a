"""The log: text or JSON, on stderr, without patient data.

A record begins with its time. Text of the node in several lines, such as the mistakes of a
configuration or a traceback, continues in indented lines. Received text never begins a line.
"""

from __future__ import annotations

import json
import logging
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from node.core.errors import ConfigError, Lines
from node.core.plain_text import plain
from node.core.recent_log import recent_log_handler

FIELDS: Final = (
    "association",
    "peer",
    "study",
    "series",
    "instance",
    "job",
    "delivery",
    "user",
    "role",
    "address",
    "route",
    "status",
)
"""Fields that a record may have in `extra`, so that log collectors can filter by them: number of
the association, AE title of the peer, UIDs, numbers of jobs and deliveries; of the page's audit log
the user, their role and address, the route and the status of the answer."""

_BREAK = uuid.uuid4().hex  # received text cannot contain it
_INDENT = "\n    "


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        line = f"{at}Z {record.levelname:<7} {record.name}: {_message(record)}"
        if record.exc_info:
            for part in self.formatException(record.exc_info).splitlines():
                line += _INDENT + plain(part)
        return line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure_logging(form: Literal["text", "json"], storage: Path | None = None) -> None:
    """Write the node's log to stderr, and its newest records for the page of administrators.

    Args:
        form: `log.format`, of the log on stderr.
        storage: `storage.root`; None: nothing is kept there.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    handlers: list[logging.Handler] = [handler]
    if storage is not None:
        handlers.append(recent_log_handler(storage))
        handlers[-1].setFormatter(_Json())
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(logging.WARNING)
    logging.getLogger("node").setLevel(logging.INFO)


def _message(record: logging.LogRecord) -> str:
    """Return the message, with the node's own line breaks."""
    message = str(record.msg)
    if isinstance(record.args, tuple) and record.args:
        message %= tuple(map(_marked, record.args))
    elif record.args:
        message %= record.args
    return _INDENT.join(map(plain, message.split(_BREAK)))


def _marked(argument: object) -> object:
    if isinstance(argument, Lines | ConfigError):
        return _BREAK.join(str(argument).splitlines())
    return argument
