"""The log: several lines stay readable, and nobody else begins one."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from node.core.errors import ConfigError, traced
from node.core.logs import configure_logging

FORGED = "X\n2026-01-01T00:00:00.000Z ERROR   node.dimse: all is lost"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logging("text")
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("node").setLevel(logging.NOTSET)


def test_the_mistakes_of_a_configuration_are_a_line_each(said: io.StringIO) -> None:
    error = ConfigError("c.yaml, line 1: this\nc.yaml, line 2: that")
    logging.getLogger("node.x").error("not taken over (%d): %s", 2, error)
    first, second = said.getvalue().splitlines()
    assert first.endswith("node.x: not taken over (2): c.yaml, line 1: this")
    assert second == "    c.yaml, line 2: that"


def test_a_traceback_is_read_as_it_is_printed(said: io.StringIO) -> None:
    try:
        raise KeyError(FORGED)
    except KeyError as error:
        logging.getLogger("node.x").error("failed: %s", traced(error))
    lines = said.getvalue().splitlines()
    assert lines[0].endswith("failed: KeyError")
    assert any("in test_a_traceback_is_read_as_it_is_printed" in line for line in lines[1:])
    assert all(line.startswith("    ") for line in lines[1:])
    assert "?" not in said.getvalue()


def test_what_others_sent_begins_no_line(said: io.StringIO) -> None:
    log = logging.getLogger("node.x")
    log.error("from %s", FORGED)
    log.error(f"from {FORGED}")
    log.error("from %s", ValueError(FORGED))
    log.error("from %(who)s", {"who": FORGED})
    assert len(said.getvalue().splitlines()) == 4
    try:
        raise ValueError(FORGED)
    except ValueError:
        log.exception("failed")
    begun = [line for line in said.getvalue().splitlines() if not line.startswith("    ")]
    assert len(begun) == 5


def test_json_is_one_object_a_line(said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", said)
    configure_logging("json")
    logging.getLogger("node.x").error("wrong: %s", ConfigError("one\ntwo"))
    (line,) = said.getvalue().splitlines()
    assert json.loads(line)["message"] == "wrong: one\ntwo"


def test_json_says_whom_it_is_about(said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", said)
    configure_logging("json")
    logging.getLogger("node.x").info("series %s is ready", "1.2", extra={"series": "1.2"})
    logging.getLogger("node.x").info("started")
    about, plainly = (json.loads(line) for line in said.getvalue().splitlines())
    assert about["series"] == "1.2"
    assert "series" not in plainly
