"""The configuration: every mistake is named with its line and the nearest right key."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.core.errors import ConfigError
from node.core.settings import file
from node.core.settings.file import load_configuration, load_convert_settings, load_settings
from node.core.settings.model import Settings, parse_size
from node.core.settings.validation import STAND_INS, _model_in


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
    shipped = Path(__file__).parents[3] / "config.yaml"
    assert load_settings(shipped) == load_settings(Path("/dev/null"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dicom:\n  prot: 1", "line 2: there is no key 'dicom.prot'; did you mean 'dicom.port'?"),
        ("dicom:\n  keep_awake: true", "line 2: there is no key 'dicom.keep_awake' any more:"),
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
            "line 1: deliver 'a' forwards to the peer 'pacs', which is not in dicom.peers",
        ),
        ("deliver: [{name: a, event: [ready], folder: {path: /x}}]", "mean 'deliver.0.events'?"),
        ("dicom: [", "is not YAML"),
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


ALL_KINDS = """\
dicom:
  prot: 1
  port: x
  ae_title: A
  ae_title: B
  peers:
  - {name: a, ae_title: X}
  - {name: a, ae_title: X, host: pacs..example}
storage: {retention: {days: -1}}
deliver:
- {name: q, folder: {path: /x}, forward: {peer: b}, evnt: 3}
- {name: w, webhook: {url: 3, secret: sixteen letters or more, secret_file: /x}}
"""
ALL_OF_THEM = (
    "line 2: there is no key 'dicom.prot'; did you mean 'dicom.port'?",
    "line 3: dicom.port: input should be a valid integer",
    "line 5: ae_title is there twice",
    "line 7: dicom.peers.0.host is missing",
    "line 8: dicom.peers.1.host: a host is a name",
    "line 8: dicom.peers has 'a' twice",
    "line 9: storage.retention.days: input should be greater than 0",
    "line 11: there is no key 'deliver.0.evnt'; did you mean 'deliver.0.events'?",
    "line 11: deliver.0: 'q' needs exactly one of",
    "line 11: deliver 'q' forwards to the peer 'b'",
    "line 12: deliver.1.webhook.url: URL input should be",
    "line 12: deliver.1.webhook: a webhook has secret or secret_file, not both",
    "environment variable RASNODE_DICM__PORT: there is no section 'dicm'",
    "environment variable RASNODE_DELIVER: it is not JSON",
    "environment variable RASNODE_HTTP__PROT: there is no key 'http.prot'",
)


def test_no_kind_of_mistake_hides_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASNODE_DICM__PORT", "1")
    monkeypatch.setenv("RASNODE_DELIVER", "[{")
    monkeypatch.setenv("RASNODE_HTTP__PROT", "1")
    with pytest.raises(ConfigError) as error:
        load_configuration(
            write(tmp_path, ALL_KINDS), [lambda _settings: [(("output", "name"), "looked at too")]]
        )
    lines = str(error.value).splitlines()
    for said in ALL_OF_THEM:
        assert any(said in line for line in lines), said
    assert "looked at too" in str(error.value)
    assert len(lines) == len(ALL_OF_THEM) + 1  # and nothing that only follows from the others
    numbers = [int(line.split("line ")[1].split(":")[0]) for line in lines if ", line " in line]
    assert numbers == sorted(numbers)


def test_what_has_to_be_there_has_a_stand_in() -> None:
    """Without one, a missing key would hide what else is wrong beside it."""

    def required(model: type) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            if field.is_required():
                found.add(name)
            if (inner := _model_in(field.annotation)) is not None:
                found |= required(inner)
        return found

    assert required(Settings) == set(STAND_INS)


@pytest.mark.parametrize(
    "host", ["pacs..example", ".pacs", "a" * 64, "10.0.0.0/33", "a b", "", "[::1]"]
)
def test_a_host_that_cannot_be_looked_up_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=r"line 1: dicom\.peers\.0\.host: a host is a name"):
        load_settings(
            write(tmp_path, f"dicom: {{peers: [{{name: a, ae_title: A, host: '{host}'}}]}}")
        )


@pytest.mark.parametrize("host", ["pacs", "pacs.example.", "röntgen.example", "10.0.0.0/24", "::1"])
def test_hosts(tmp_path: Path, host: str) -> None:
    text = f"dicom: {{peers: [{{name: a, ae_title: A, host: '{host}'}}]}}"
    assert load_settings(write(tmp_path, text)).dicom.peers[0].host == host


def test_one_port_is_not_for_both(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 1: dicom\.port and http\.port are both 8080"):
        load_settings(write(tmp_path, "dicom: {port: 8080}"))
    load_settings(write(tmp_path, "dicom: {port: 8080}\nhttp: {port: null}"))


def test_the_file_of_the_folder_goes_before_that_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    system = tmp_path / "etc.yaml"
    monkeypatch.setattr(file, "SYSTEM_FILE", system)
    assert load_configuration().file is None
    system.write_text("storage: {root: /srv/images}\nconvert: {level: 3}")
    found = load_configuration()
    assert found.file == system
    assert found.settings.storage.root == Path("/srv/images")
    assert load_convert_settings().level == 3
    here = write(tmp_path, "dicom: {port: 7}")
    assert load_configuration().settings.dicom.port == 7
    named = tmp_path / "named.yaml"
    named.write_text("dicom: {port: 8}")
    assert load_configuration(named).file == named
    here.unlink()
    assert load_configuration().file == system


@pytest.mark.parametrize("text", ["storage:\n  root: ./data", ""])
def test_the_file_of_the_system_says_one_folder_for_all_who_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(file, "SYSTEM_FILE", tmp_path / "etc.yaml")
    file.SYSTEM_FILE.write_text(text)
    with pytest.raises(ConfigError, match=r"storage\.root data is relative"):
        load_settings()
    monkeypatch.setenv("RASNODE_STORAGE__ROOT", "/srv/images")
    load_settings()


def test_where_each_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASNODE_DICOM__PORT", "11113")
    path = write(tmp_path, "dicom:\n  port: 1\n  ae_title: OTHER\n  peers: []")
    origins = load_configuration(path).origins
    assert origins.of(("dicom", "port")) == "environment RASNODE_DICOM__PORT"
    assert origins.of(("dicom", "ae_title")) == f"{path}:3"
    assert origins.of(("dicom", "host")) == "default"
    assert origins.of(("http", "port")) == "default"
    assert origins.overridden() == ["dicom.port (RASNODE_DICOM__PORT, not line 2 of the file)"]


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
    with pytest.raises(ConfigError, match="rasnode passcode") as caught:
        load_settings(write(tmp_path, "dicom: {identity: {users: {mr: geheim}}}"))
    assert "geheim" not in str(caught.value)


def test_what_is_no_yaml_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2 is not YAML: expected"):
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


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ("{as: seg, send: nowhere}", r"sends results to the peer 'nowhere', which is not in"),
        ("{as: hologram, send: a}", r"results\.as: input should be 'seg'"),
        ("{a: seg, send: a}", r"there is no key .*; did you mean '.*results\.as'"),
        ("{as: seg, send: a, algorithm: Net}", r"results\.algorithm"),
        ("{as: seg}", r"results\.send is missing"),
    ],
)
def test_mistakes_in_results(tmp_path: Path, results: str, said: str) -> None:
    peers = "dicom: {peers: [{name: a, ae_title: A, host: h}]}"
    deliver = f"deliver: [{{name: t, command: {{run: [x], results: {results}}}}}]"
    with pytest.raises(ConfigError, match=said):
        load_settings(write(tmp_path, f"{peers}\n{deliver}"))


def test_results_are_shown_as_they_are_written(tmp_path: Path) -> None:
    text = (
        "dicom: {peers: [{name: a, ae_title: A, host: h}]}\n"
        "deliver: [{name: t, command: {run: [x], results: {as: map, send: a}}}]"
    )
    settings = load_settings(write(tmp_path, text))
    shown = settings.model_dump(mode="json")["deliver"][0]["command"]["results"]
    assert (shown["as"], shown["send"]) == ("map", "a")


def test_links_are_refused_as_long_as_the_page_has_no_login(tmp_path: Path) -> None:
    text = "deliver: [{name: t, command: {run: [x], payload: {links: true}}}]"
    with pytest.raises(ConfigError, match="without a login"):
        load_settings(write(tmp_path, text))
