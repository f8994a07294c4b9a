"""`doctor` finds what is wrong, and says what to do."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
import threading
from collections import namedtuple
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from node.cli.doctor import machine, ports
from node.cli.doctor.command import Subject, diagnose
from node.cli.doctor.deliveries import check_deliveries
from node.cli.doctor.finding import Finding, Grade
from node.cli.doctor.index import check_database
from node.cli.doctor.machine import (
    check_clock,
    check_codecs,
    check_disk,
    check_file_system,
    check_open_files,
    check_storage,
)
from node.cli.doctor.peers import check_passcodes, check_peers
from node.cli.doctor.ports import check_dicom, check_http, listen, port_finding
from node.core.settings.deliver import TargetSettings
from node.core.settings.model import Dicom, Identity, PeerSettings, Settings
from node.core.settings.passcodes import NOBODY
from node.storage.index.engine import Index
from node.storage.run_file import UNSEEN, RunState, running_node
from tests.running import RunningNode, free_port

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
nas:/images /mnt/nas nfs4 rw 0 0
/dev/sdb1 /mnt/nas/local xfs rw 0 0
nas:/more /mnt/with\\040space cifs rw 0 0
"""


# pynetdicom leaves sockets that could not connect to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _no_sockets_left() -> Iterator[None]:
    yield
    gc.collect()


def settings(root: Path, **dicom: object) -> Settings:
    return Settings.model_validate(
        {
            "dicom": {"host": "127.0.0.1", "port": free_port(), **dicom},
            "storage": {"root": root, "minimum_free": 0},
            "http": {"port": None},
        }
    )


def test_all_is_well_on_an_empty_machine(tmp_path: Path) -> None:
    found = list(diagnose(settings(tmp_path / "data"), Subject, running=False))
    assert {finding.check for finding in found} >= {"dicom", "http", "storage", "disk", "codecs"}
    assert not [finding for finding in found if finding.grade is Grade.WRONG]
    assert not (tmp_path / "data").exists()


def test_a_free_port_is_wrong_only_if_a_node_should_run() -> None:
    dicom = Dicom(host="127.0.0.1", port=free_port())
    assert check_dicom(dicom, running=False).grade is Grade.GOOD
    found = check_dicom(dicom, running=True)
    assert found.grade is Grade.WRONG
    assert "nothing listens" in found.found


def test_somebody_elses_program_on_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def hang_up() -> None:
            other.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        port = other.getsockname()[1]
        found = check_dicom(Dicom(host="127.0.0.1", port=port), running=False)
        thread.join(10)
    assert found.grade is Grade.WRONG
    assert str(port) in found.advice
    assert f"(process {os.getpid()})" in found.found


def test_an_address_of_another_machine() -> None:
    error = listen("192.0.2.1", 11112)
    assert error is not None
    found = port_finding("dicom", "192.0.2.1:11112", "dicom.port", error)
    assert found.grade is Grade.WRONG
    assert "an address of this machine" in found.advice


def test_a_port_that_needs_a_right() -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    found = port_finding("dicom", "0.0.0.0:104", "dicom.port", denied)
    assert found.grade is Grade.WRONG
    assert "Low ports" in found.advice
    assert "Low ports" in (Path(__file__).parents[3] / "docs/install.md").read_text()


def test_the_page() -> None:
    assert check_http("127.0.0.1", None).grade is Grade.GOOD
    assert check_http("127.0.0.1", free_port()).grade is Grade.GOOD


def test_another_program_where_the_page_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_args: object, **_kwargs: object) -> object:
        raise ports.httpx.ConnectError("refused")

    monkeypatch.setattr(ports.httpx, "get", answer)
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = check_http("127.0.0.1", other.getsockname()[1])
    assert found.grade is Grade.WRONG
    assert "http.port" in found.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    (found,) = check_storage(tmp_path / "data")
    assert found.grade is Grade.WRONG


def test_a_storage_root_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (found,) = check_storage(tmp_path / "file" / "data")
    assert found.grade is Grade.WRONG
    assert "storage.root" in found.advice


def test_a_folder_for_every_eye(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert Grade.NOTE in {finding.grade for finding in check_storage(tmp_path)}
    tmp_path.chmod(0o750)
    assert Grade.NOTE not in {
        finding.grade for finding in check_storage(tmp_path) if finding.check == "storage"
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("root", "sqlite", "grade"),
    [
        ("/srv/data", True, Grade.GOOD),
        ("/mnt/nas/data", True, Grade.WRONG),
        ("/mnt/nas/data", False, Grade.GOOD),
        ("/mnt/nas/local/data", True, Grade.GOOD),
        ("/mnt/nasty/data", True, Grade.GOOD),
        ("/mnt/with space/data", True, Grade.WRONG),
    ],
)
def test_sqlite_over_a_network(root: str, sqlite: bool, grade: Grade) -> None:
    assert check_file_system(Path(root), MOUNTS, sqlite=sqlite).grade is grade


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = namedtuple("state", "f_bavail f_frsize")
    monkeypatch.setattr(machine.os, "statvfs", lambda _path: state(1000, 4096))
    assert check_disk(tmp_path, 1000 * 4096 + 1).grade is Grade.WRONG
    assert check_disk(tmp_path, 1000 * 4096).grade is Grade.NOTE
    assert check_disk(tmp_path / "not" / "there", 100 * 4096).grade is Grade.GOOD


def test_clock() -> None:
    assert check_clock(2000.0, 1000.0, None).grade is Grade.GOOD
    assert check_clock(2000.0, 1000.0, 2030.0).grade is Grade.GOOD
    assert check_clock(2000.0, 1000.0, 2100.0).grade is Grade.WRONG
    assert check_clock(900.0, 1000.0, None).grade is Grade.WRONG


def test_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_codecs().grade is Grade.GOOD

    class Without:
        is_available = False
        missing_dependencies = ("gdcm",)

    monkeypatch.setattr(machine, "get_decoder", lambda _uid: Without)
    found = check_codecs()
    assert found.grade is Grade.WRONG
    assert "gdcm" in found.found


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _which: (512, 4096))
    assert check_open_files(64).grade is Grade.GOOD
    assert check_open_files(65).grade is Grade.WRONG
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _which: unlimited)
    assert check_open_files(10_000).grade is Grade.GOOD


def test_the_index(tmp_path: Path) -> None:
    here = settings(tmp_path)
    assert "first start" in check_database(here).found
    index = Index(here.database_url())
    index.migrate()
    assert check_database(here).grade is Grade.GOOD
    with index.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    assert check_database(here).grade is Grade.NOTE
    with index.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert check_database(here).grade is Grade.WRONG
    index.close()


def test_a_database_that_is_away() -> None:
    here = Settings.model_validate(
        {"database": {"url": f"postgresql+psycopg://node@127.0.0.1:{free_port()}/none"}}
    )
    found = check_database(here)
    assert found.grade is Grade.WRONG
    assert "database.url" in found.advice


def test_a_silent_peer() -> None:
    dicom = Dicom(
        peers=(PeerSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port()),)
    )
    (found,) = check_peers(dicom)
    assert found.check == "peer pacs"
    assert found.grade is Grade.WRONG
    assert "RASNODE" in found.advice


def test_beside_a_running_node(node: RunningNode) -> None:
    found = node.rasnode("doctor", "--running", "--only", "dicom", "--json")
    assert "this node answers C-ECHO" in found.stdout
    own = running_node(node.root)
    assert own is not None
    here = Dicom(host="127.0.0.1", port=node.port)
    assert check_dicom(here, own, running=True).grade is Grade.GOOD
    foreign = check_dicom(here, None, running=True)
    assert foreign.grade is Grade.WRONG
    assert "another node (" in foreign.found
    unseen = check_dicom(here, UNSEEN, running=True)
    assert (unseen.grade, "cannot see" in unseen.found) == (Grade.NOTE, True)
    dicom = Dicom(
        peers=(PeerSettings(name="me", ae_title="RASNODE", host="127.0.0.1", port=node.port),)
    )
    assert [finding.grade for finding in check_peers(dicom)] == [Grade.GOOD]
    node.kill()
    stopped = node.rasnode("doctor", "--running", "--only", "dicom", "--json", check=False)
    assert stopped.returncode == 1
    assert '"wrong"' in stopped.stdout
    assert "rasnode: 1 of 1 checks" in stopped.stderr


def targets(tmp_path: Path, *, up: int, down: int) -> list[TargetSettings]:
    (tmp_path / "share").mkdir()
    return [
        TargetSettings.model_validate(one)
        for one in (
            {"name": "hook", "webhook": {"url": f"http://127.0.0.1:{up}/x"}},
            {"name": "away", "webhook": {"url": f"http://127.0.0.1:{down}/x"}},
            {"name": "run", "command": {"run": ["/bin/true"]}},
            {"name": "typo", "command": {"run": ["no-such-program"]}},
            {"name": "share", "folder": {"path": str(tmp_path / "share")}},
            {"name": "lost", "folder": {"path": str(tmp_path / "lost")}},
        )
    ]


def grades(found: Iterable[Finding]) -> dict[str, Grade]:
    return {one.found.split(":")[0]: one.grade for one in found}


def test_deliveries_that_cannot_be_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        wanted = targets(tmp_path, up=receiver.getsockname()[1], down=free_port())
        assert grades(check_deliveries(wanted)) == {
            "hook": Grade.GOOD,
            "away": Grade.NOTE,
            # Good for this user: a service may see less.
            "run": Grade.NOTE,
            "typo": Grade.WRONG,
            "share": Grade.NOTE,
            "lost": Grade.WRONG,
        }


def test_of_deliveries_the_running_node_is_asked(tmp_path: Path) -> None:
    """It sees other folders than whoever runs doctor: here it may not write to `share`."""
    wanted = targets(tmp_path, up=1, down=1)[2:]
    read_only = f"{tmp_path}/share cannot be written: Read-only file system"
    names = ("run", "typo", "share")
    own = RunState(1, 104, None, names, {"share": read_only})
    found = list(check_deliveries(wanted, own))
    assert grades(found) == {
        "run": Grade.GOOD,
        "typo": Grade.GOOD,  # it has a PATH of its own
        "share": Grade.WRONG,
        "lost": Grade.WRONG,  # new in the configuration: it has not looked yet
    }
    assert any(f"the running node reports: {read_only}" in one.found for one in found)
    assert "What deliveries need" in (Path(__file__).parents[3] / "docs/install.md").read_text()


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    hook = {"url": "http://127.0.0.1:1/x", "secret_file": str(tmp_path / "none")}
    (found,) = check_deliveries([TargetSettings.model_validate({"name": "h", "webhook": hook})])
    assert found.grade is Grade.WRONG
    assert "cannot be read" in found.found


def test_passcodes_that_are_easy_to_guess_are_named() -> None:
    assert check_passcodes(None) == []
    assert check_passcodes(Identity(users={"open": "", "new": NOBODY})) == []
    (finding,) = check_passcodes(Identity(users={"mr": "a" * 64, "new": NOBODY}))
    assert finding.grade is Grade.NOTE
    assert "'mr'" in finding.found
    assert "rasnode passcode" in finding.advice
