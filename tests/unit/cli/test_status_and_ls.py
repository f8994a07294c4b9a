"""`status` and `ls`: what is shown of many series, and what is asked for."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer
import yaml
from sqlalchemy import update

from node.cli.commands import build
from node.cli.series.filters import moment
from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import SeriesRow
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from tests.unit.storage.index.test_work import record

MANY = 70
HELD, FAILED = 3, 5  # by number


class Commands:
    """An index with 70 series, of which two are not ready, and the commands that read it."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump({"storage": {"root": str(folder)}}))
        self.index = Index(f"sqlite:///{folder / 'index.db'}")
        self.index.migrate()
        items = [record(1, series=n, at=1e9 + 86400 * n) for n in range(1, MANY + 1)]
        Store(self.index).add([(one, None) for one in (*items, record(2, series=1, at=1e9))])
        Store(self.index).add([(record(1, series=2, sha256="b", at=1e9 + 2 * 86400), None)])
        work = Work(self.index)
        for number in range(1, MANY + 1):
            states = {HELD: SeriesState.HELD, FAILED: SeriesState.FAILED}
            series = work.series(f"1.8.{number}")
            assert series is not None
            work.move(series, states.get(number, SeriesState.READY), now=2e9, actor="person")

    def run(self, *words: str) -> tuple[str, str]:
        with (
            patch.dict(os.environ, {"COLUMNS": "200"}),
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as err,
        ):
            build()([*words, "-c", str(self.config)], standalone_mode=False)
        return out.getvalue(), err.getvalue()

    def status(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json", *words)[0])
        return found

    def numbers(self, *words: str) -> list[int]:
        return [_number(row["series_instance_uid"]) for row in self.status(*words)["series"]]

    def listed(self, level: str, *words: str) -> list[dict[str, Any]]:
        out, _ = self.run("ls", "--json", "--level", level, *words)
        return [json.loads(line) for line in out.splitlines()]


def _number(uid: str) -> int:
    return int(uid.removeprefix("1.8."))


def _shown(text: str) -> list[int]:
    return [_number(line.split()[1]) for line in text.splitlines() if line.startswith("│ 1.8.")]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    made = Commands(tmp_path_factory.mktemp("node"))
    yield made
    made.index.close()


def test_people_see_what_is_not_ready_and_the_newest(commands: Commands) -> None:
    text, _ = commands.run("status")
    assert _shown(text) == [HELD, FAILED, *range(MANY - 49, MANY + 1)]
    assert "18 series not shown" in text
    assert "series by state: 68 ready, 1 failed, 1 held" in text
    assert "71 instances in 70 series, 1 study, 1 patient; 1 conflict" in text


def test_scripts_get_every_series_and_the_same_object_as_ever(commands: Commands) -> None:
    found = commands.status()
    assert list(found) == ["series", "totals", "disk", "kept", "deliveries", "damaged", "warnings"]
    assert commands.numbers() == list(range(1, MANY + 1))
    assert found["series"][0]["by"] == "person"
    assert found["totals"]["instances"] == MANY + 1


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("--state", "held"), [HELD]),
        (("--state", "failed", "--state", "held"), [HELD, FAILED]),
        (("--state", "ready", "--limit", "2"), [MANY - 1, MANY]),
        (("--state", "held", "--state", "ready", "--limit", "1"), [MANY]),
        (("--limit", "3"), [MANY - 2, MANY - 1, MANY]),
        (("--study", "1.9", "--limit", "2"), [MANY - 1, MANY]),
        (("--study", "1.9", "--state", "failed"), [FAILED]),
        (("--study", "1.99"), []),
        (("--since", "2001-11-16T12:00"), [MANY - 1, MANY]),
        (("--since", "2001-11-16", "--state", "held"), []),
        (("--since", "1h"), []),
    ],
)
def test_filters(commands: Commands, asked: tuple[str, ...], expected: list[int]) -> None:
    assert commands.numbers(*asked) == expected
    listed = commands.listed("series", *asked)
    assert [_number(row["series_instance_uid"]) for row in listed] == expected
    assert _shown(commands.run("status", *asked)[0]) == expected


def test_filters_hold_at_every_level(commands: Commands) -> None:
    assert len(commands.listed("instance")) == MANY + 2  # with the conflict
    held = commands.listed("instance", "--state", "held")
    assert [row["sop_instance_uid"] for row in held] == [f"1.2.{HELD}.1"]
    assert [row["sop_instance_uid"] for row in commands.listed("instance", "--limit", "1")] == [
        "1.2.1.2"
    ]
    assert len(commands.listed("instance", "--state", "ready", "--limit", "4")) == 4
    assert len(commands.listed("study", "--state", "held")) == 1
    assert commands.listed("patient", "--state", "settled") == []
    assert len(commands.listed("patient", "--study", "1.9", "--limit", "5")) == 1


def test_ls_says_that_there_is_more(commands: Commands) -> None:
    out, err = commands.run("ls")
    assert len(out.splitlines()) == 52
    assert "the newest of 70 series" in err
    out, err = commands.run("ls", "--limit", "60")
    assert (len(out.splitlines()), err) == (60, "")
    out, err = commands.run("ls", "--level", "instance")
    assert "the newest of 71 instances" in err


def test_a_screen_has_its_limit(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.cli.series.filters.MOST_UNREADY", 10)
    monkeypatch.setattr("node.cli.series.status.MOST_UNREADY", 10)
    text, _ = commands.run("status", "--state", "ready")
    assert len(_shown(text)) == 10
    assert "there may be more" in text


def test_all_are_read_in_parts(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.storage.index.search.selection.AT_ONCE", 7)
    assert commands.numbers() == list(range(1, MANY + 1))
    assert len(commands.listed("instance", "--state", "ready")) == MANY


def test_a_series_that_was_resent_is_among_the_newest(commands: Commands) -> None:
    with commands.index.writing() as connection:
        connection.execute(
            update(SeriesRow).where(SeriesRow.uid == "1.8.4").values(last_arrival=2e9)
        )
    assert commands.numbers("--limit", "2") == [4, MANY]
    with commands.index.writing() as connection:
        connection.execute(
            update(SeriesRow).where(SeriesRow.uid == "1.8.4").values(last_arrival=1e9 + 4 * 86400)
        )


def test_a_time_that_is_none_is_said() -> None:
    with pytest.raises(typer.BadParameter, match="2026-01-31"):
        moment("yesterday")
