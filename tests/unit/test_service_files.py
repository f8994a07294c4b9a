"""The service unit, the container recipe and the default configuration keep their promises."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from node.cli.commands import COMMANDS
from node.cli.doctor.command import Subject
from node.core.errors import Reason
from node.core.settings import file
from node.core.settings.file import load_settings
from node.core.settings.model import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd/rasnode.service"
LOW_PORT = ROOT / "systemd/rasnode.service.d/low-port.conf"
MOST_EXPOSURE = 1.5  # of 10, as systemd-analyze security counts


def directives(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def keys(settings: dict[str, object], prefix: str = "") -> set[str]:
    found = set()
    for name, value in settings.items():
        found |= keys(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return found


def every_key() -> set[str]:
    return keys(load_settings(ROOT / "config.yaml").model_dump(mode="json"))


def test_the_default_configuration_is_the_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(ROOT / "config.yaml") == load_settings(None)


def test_the_default_configuration_has_every_key() -> None:
    said = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert keys(said) == every_key()


def test_every_key_has_a_comment_in_the_default_configuration() -> None:
    for line in (ROOT / "config.yaml").read_text().splitlines():
        if re.match(r"  \w+:", line) and "name:" not in line:
            assert "#" in line, line


def test_the_readme_explains_every_key() -> None:
    readme = (ROOT / "README.md").read_text()
    for key in every_key():
        assert f"`{key}`" in readme, key


def test_the_readme_explains_every_refusal_and_no_other() -> None:
    raised = {
        Reason[name].value
        for path in (ROOT / "node").rglob("*.py")
        for name in re.findall(r"\bReason\.([A-Z_]+)\b", path.read_text())
    }
    section = (
        (ROOT / "README.md").read_text().partition("## What it refuses")[2].partition("\n## ")[0]
    )
    assert set(re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE)) == raised


def test_the_readme_names_every_command_and_no_other() -> None:
    named = set(re.findall(r"`rasnode ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named == set(COMMANDS)


def test_documents_link_to_what_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            name, _, anchor = target.partition("#")
            if "://" in name:
                continue
            found = page.parent / name if name else page
            assert found.exists(), (page, target)
            if anchor:
                headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
                assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_service_is_what_it_says() -> None:
    said = directives(UNIT)
    assert said["Type"] == ["notify"]
    assert said["User"] == said["Group"] == ["rasnode"]
    assert int(said["WatchdogSec"][0]) >= 10
    assert said["CapabilityBoundingSet"] == said["AmbientCapabilities"] == [""]
    assert said["NoNewPrivileges"] == ["yes"]
    assert said["ProtectSystem"] == ["strict"]
    assert said["UMask"] == ["0027"]
    assert said["LimitCORE"] == ["0"]
    assert said["NoExecPaths"] == [f"/var/lib/{said['StateDirectory'][0]}"]
    # Restarting on a wrong configuration would repeat the same sentence for ever.
    assert said["RestartPreventExitStatus"] == ["2"]
    assert float(said["TimeoutStopSec"][0]) > Settings().shutdown_seconds


def installed(tmp_path: Path, command: str) -> Path:
    """The configuration file as a command of the documentation makes it."""
    made = tmp_path / "config.yaml"
    shutil.copy(ROOT / "config.yaml", made)
    text = command.replace("\\\n", " ").replace("/etc/rasnode/config.yaml", str(made))
    subprocess.run(["sh", "-ec", text], check=True, timeout=30)
    return made


def test_the_installed_file_alone_says_where_the_data_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (UNIT, LOW_PORT, ROOT / "systemd/rasnode.service.d/deliveries.conf"):
        assert "RASNODE_" not in path.read_text()
    assert not re.search(
        r"^ENV(.*\\\n)*.*RASNODE_", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    (command,) = re.findall(r"^sed -i .*$", (ROOT / "docs/install.md").read_text(), re.MULTILINE)
    made = installed(tmp_path, command)
    monkeypatch.setattr(file, "SYSTEM_FILE", made)
    assert load_settings(made).storage.root == Path("/var/lib/rasnode")
    assert directives(UNIT)["WorkingDirectory"] == ["/var/lib/rasnode"]


def test_the_file_of_the_image_says_where_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    (command,) = re.findall(r"^RUN (sed -i (?:.*\\\n)*.*)$", recipe, re.MULTILINE)
    made = installed(tmp_path, command)
    monkeypatch.setattr(file, "SYSTEM_FILE", made)
    settings = load_settings(made)
    assert settings.storage.root == Path("/data")
    assert settings.http.host == "0.0.0.0"  # noqa: S104  inside the container
    assert settings.model_copy(update={"storage": None, "http": None}) == load_settings(
        ROOT / "config.yaml"
    ).model_copy(update={"storage": None, "http": None})


def test_the_example_for_deliveries_has_no_effect_as_it_stands() -> None:
    path = ROOT / "systemd/rasnode.service.d/deliveries.conf"
    assert directives(path) == {}
    table = (ROOT / "docs/install.md").read_text().partition("## What deliveries need")[2]
    for name in ("ReadWritePaths", "SupplementaryGroups", "PrivateDevices", "ProtectHome"):
        assert f"#{name}=" in path.read_text()
        assert f"`{name}=" in table


def test_workers_may_lower_their_priority() -> None:
    filters = directives(UNIT)["SystemCallFilter"]
    assert filters[0] == "@system-service"
    assert filters[1].startswith("~@privileged")
    assert {"setpriority", "sched_setscheduler"} <= set(filters[2:])


def test_low_ports_need_one_capability_and_no_more() -> None:
    said = directives(LOW_PORT)
    assert said["AmbientCapabilities"] == said["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert said["PrivateUsers"] == ["no"]


@pytest.mark.parametrize("drop_in", [False, True])
def test_systemd_finds_it_well_hardened(tmp_path: Path, drop_in: bool) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    shutil.copy(UNIT, tmp_path)
    if drop_in:
        shutil.copytree(LOW_PORT.parent, tmp_path / LOW_PORT.parent.name)
    said = subprocess.run(
        [program, "security", "--offline=yes", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    (level,) = re.findall(r"exposure level for rasnode.service: ([\d.]+)", said)
    assert float(level) <= MOST_EXPOSURE


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    # Only the program's place differs: there is none in /opt here.
    unit = UNIT.read_text().replace("/opt/rasnode/bin/rasnode", "/bin/true")
    (tmp_path / UNIT.name).write_text(unit)
    shutil.copytree(LOW_PORT.parent, tmp_path / LOW_PORT.parent.name)
    said = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "rasnode.service" not in said.stderr
    assert said.returncode == 0, said.stderr


def test_the_container_is_not_root_and_looks_after_itself() -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    stages = re.split(r"^FROM ", recipe, flags=re.MULTILINE)
    assert len(stages) == 3
    assert "--require-hashes" in stages[1]
    last = stages[2]
    assert re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert "VOLUME /data" in last
    assert re.search(r"find / .*-perm /6000 -exec chmod a-s", last)
    for text in (recipe, (ROOT / "docs/install.md").read_text()):
        run = re.sub(r"\\\n#?", "", text).partition("docker run")[2].partition("\n")[0]
        for flag in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges"):
            assert flag in run
        assert "-p 127.0.0.1:8080:8080" in run
    assert "EXPOSE 11112 8080" in last
    (check,) = re.findall(r'HEALTHCHECK .*?CMD \["rasnode", "doctor", (.*?)\]', last, re.DOTALL)
    assert "--running" in check
    assert f'"--only", "{Subject.DICOM}"' in check


def test_the_container_gets_every_file_that_it_copies() -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", recipe, re.MULTILINE):
        for name in line.split()[:-1]:
            assert f"!{name}" in allowed, name
            assert (ROOT / name).exists()
