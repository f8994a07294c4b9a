"""One database, one storage root: everything else is refused before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from node.cli.commands import build
from node.core.errors import ConfigError
from node.storage.identity import FILE, ForeignDatabase, claim, identity_of, refuse_foreign
from node.storage.index import owner
from node.storage.index.engine import Index
from tests.running import RunningNode
from tests.small import small_ct


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database outside every root, as a server is."""
    return f"sqlite:///{tmp_path / 'elsewhere.db'}"


def node_at(folder: Path, url: str) -> RunningNode:
    folder.mkdir()
    return RunningNode(folder, {"database": {"url": url}})


def run(node: RunningNode, *arguments: str) -> None:
    build()([*arguments, "-c", str(node.config)], standalone_mode=False)


@pytest.fixture
def first(tmp_path: Path, url: str) -> RunningNode:
    """A node that has taken instances in."""
    made = node_at(tmp_path / "first", url)
    run(made, "import", str(small_ct(tmp_path / "ct", 2, announced=False)[0]))
    return made


@pytest.fixture
def second(tmp_path: Path, url: str) -> RunningNode:
    """Another one with the same database."""
    return node_at(tmp_path / "second", url)


def test_another_root_is_refused_at_the_start(first: RunningNode, second: RunningNode) -> None:
    refused = second.rasnode("serve", check=False)
    assert refused.returncode == 2
    assert "belongs to another storage root" in refused.stderr
    assert "Each node needs a database of its own" in refused.stderr
    assert not (second.root / FILE).exists()


@pytest.mark.parametrize(
    "arguments", [("import", str(Path(__file__).parent)), ("status",), ("reindex",), ("retry", "1")]
)
def test_no_command_works_on_another_roots_database(
    first: RunningNode, second: RunningNode, arguments: tuple[str, ...]
) -> None:
    (second.root / "archive").mkdir(parents=True)
    with pytest.raises(ForeignDatabase):
        run(second, *arguments)
    assert len(first.instances()) == 1


def test_a_root_that_has_another_database_is_refused(
    tmp_path: Path, first: RunningNode, second: RunningNode
) -> None:
    second.root.mkdir()
    (second.root / FILE).write_text(f"{'a' * 32}\n")
    with pytest.raises(ForeignDatabase, match="not to"):
        run(second, "status")


def test_a_copy_of_a_root_is_the_root(tmp_path: Path, first: RunningNode, url: str) -> None:
    shutil.copytree(first.root, tmp_path / "copy" / "data")
    copy = RunningNode(tmp_path / "copy", {"database": {"url": url}})
    assert len(copy.instances()) == 1


def test_an_old_root_takes_a_fresh_database(tmp_path: Path, first: RunningNode) -> None:
    before = identity_of(first.root)
    other = f"sqlite:///{tmp_path / 'fresh.db'}"
    (tmp_path / "again").mkdir()
    again = RunningNode(
        tmp_path / "again", {"database": {"url": other}, "storage": {"root": str(first.root)}}
    )
    run(again, "reindex")
    assert len(again.instances()) == 1
    index = Index(other)
    assert owner.owner(index) == identity_of(first.root) == before
    index.close()


def test_an_unclaimed_database_goes_to_the_root_that_has_its_instances(
    first: RunningNode, second: RunningNode, url: str
) -> None:
    index = Index(url)
    with index.writing() as connection:
        connection.execute(text("DELETE FROM root_identity"))
    (first.root / FILE).unlink()
    with pytest.raises(ForeignDatabase, match="lists instances that are not below"):
        refuse_foreign(index, second.root)
    refuse_foreign(index, first.root)
    claim(index, first.root)
    assert owner.owner(index) == identity_of(first.root)
    index.close()


def test_the_default_database_is_never_anothers(tmp_path: Path) -> None:
    index = Index(f"sqlite:///{tmp_path / 'index.db'}")
    index.migrate()
    claim(index, tmp_path)
    known = identity_of(tmp_path)
    (tmp_path / FILE).unlink()  # copied without it
    refuse_foreign(index, tmp_path)
    claim(index, tmp_path)
    assert identity_of(tmp_path) == known
    index.close()


def test_who_is_too_late_is_refused(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(url)
    index.migrate()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    claim(index, tmp_path / "one")
    really = owner.owner
    answers = [None]  # the other one looked before the first one wrote
    monkeypatch.setattr(owner, "owner", lambda of: answers.pop() if answers else really(of))
    with pytest.raises(ForeignDatabase):
        claim(index, tmp_path / "two")
    assert really(index) == identity_of(tmp_path / "one")
    index.close()


def test_a_damaged_identity_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("")
    with pytest.raises(ConfigError, match="is damaged"):
        identity_of(tmp_path)
