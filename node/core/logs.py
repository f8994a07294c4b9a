"""How the log reads: text or JSON, on stderr. Never a word about a patient.

An event begins a line with its time. What the node itself says in several lines, such as the
mistakes of a configuration or a traceback, goes on in indented lines; text from elsewhere never
begins a line.
"""

from __future__ import annotations

import json
import logging
import sys
import uuid
from datetime import UTC, datetime
from typing import Final, Literal

from node.core.errors import ConfigError, Lines
from node.core.plain_text import plain

FIELDS: Final = (
    "association",
    "peer",
    "study",
    "series",
    "instance",
    "job",
    "delivery",
)
"""What a record may say in its `extra` beside the sentence, each a name or UID, for collectors that
filter by it: the association's number, the AE title of the peer, UIDs, and the numbers of jobs and
deliveries."""

_BREAK = uuid.uuid4().hex  # nobody who sends text to the node can know it
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


def configure_logging(form: Literal["text", "json"]) -> None:
    """Send the node's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("node").setLevel(logging.INFO)


def _message(record: logging.LogRecord) -> str:
    """The message; of what was said in several lines, each in a line of its own."""
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
