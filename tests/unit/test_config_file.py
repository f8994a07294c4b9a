"""The configuration: every mistake is named with its line and the nearest right key."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config import parse_size
from node.config_file import load_settings
from node.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.dicom.port == 11112
    assert settings.database_url() == "sqlite:///data/index.db"


def test_the_config_file_that_ships_says_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = Path(__file__).parents[2] / "config.yaml"
    assert load_settings(shipped) == load_settings(Path("/dev/null"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dicom:\n  prot: 1", "line 2: there is no key 'dicom.prot'; did you mean 'dicom.port'?"),
        ("quiet_seconds: 3", "did you mean 'completion.quiet_seconds'?"),
        ("dicom:\n  port: 70000", "line 2: dicom.port: "),
        ("storage:\n  minimum_free: 3 parsecs", "line 2: storage.minimum_free: a size such as"),
        ("dicom:\n  ae_title: SEVENTEEN_LETTERS", "an AE title has 1 to 16"),
        ("dicom:\n  peers:\n  - {name: a, ae_title: X}", "line 3: dicom.peers.0.host is missing"),
        (
            "deliver: [{name: a, when: {Modalitty: MR}, folder: {path: /x}}]",
            "line 1: deliver.0: 'Modalitty' is nothing that rules can match; did you mean Mod",
        ),
        (
            "deliver: [{name: a, forward: {peer: pacs}}]",
            "config.yaml: deliver 'a' forwards to the peer 'pacs', which is not in dicom.peers",
        ),
        ("deliver: [{name: a, event: [ready], folder: {path: /x}}]", "mean 'deliver.0.events'?"),
        ("dicom: [", "is no YAML"),
        ("- 1", "must hold keys"),
    ],
)
def test_a_mistake_is_named_where_it_is(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(write(tmp_path, text))
    assert said in str(error.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "dicom:\n  prot: 1\n  port: x\nstorage: {rot: y}")
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    assert len(str(error.value).splitlines()) == 3


def test_a_missing_file_is_an_error_when_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "nowhere.yaml")


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RASNODE_DICOM__PORT", "11113")
    monkeypatch.setenv("RASNODE_HTTP__PORT", "null")
    settings = load_settings(write(tmp_path, "dicom: {port: 1, ae_title: OTHER}"))
    assert settings.dicom.port == 11113
    assert settings.dicom.ae_title == "OTHER"
    assert settings.http.port is None


@pytest.mark.parametrize("name", ["RASNODE_DICOM__PROT", "RASNODE_DICM__PORT"])
def test_a_typo_in_the_environment_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=name):
        load_settings(write(tmp_path, ""))


@pytest.mark.parametrize(
    ("text", "size"),
    [("500 MiB", 500 << 20), ("1GiB", 1 << 30), ("2 GB", 2 * 10**9), ("7", 7), ("1.5 KiB", 1536)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_a_mistake_beside_a_secret_does_not_show_it(tmp_path: Path) -> None:
    hook = "webhook: {url: 'http://127.0.0.1/', secret: sixteen letters or more}"
    with pytest.raises(ConfigError) as error:
        load_settings(write(tmp_path, f"deliver: [{{{hook}, name: a, when: {{Modalitty: MR}}}}]"))
    assert "sixteen" not in str(error.value)


def test_a_passcode_in_place_of_its_hash_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sha256sum") as caught:
        load_settings(write(tmp_path, "dicom: {identity: {users: {mr: geheim}}}"))
    assert "geheim" not in str(caught.value)


def test_what_is_no_yaml_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2 is no YAML: expected"):
        load_settings(write(tmp_path, "dicom: {port: 104\n"))


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dicom:\n  port: 104\n  ae_title: A\n  port: 11112\n")
    with pytest.raises(ConfigError, match="line 4: port is there twice"):
        load_settings(path)


def test_retention_that_says_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("storage:\n  retention: {}\n")
    with pytest.raises(ConfigError, match="max_size"):
        load_settings(path)
