"""Whose certificate is believed, of peers that we connect to and of those that come to us."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.cli.commands import build
from node.core.errors import ConfigError
from node.core.settings.model import TLS, Dicom, PeerSettings
from node.dimse.scu.requests import echo, peer
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, PeerSilent, Requestor
from tests.certificates import HERE, Authority
from tests.integration.queryable import IMPLICIT, Queryable
from tests.running import eventually

VERIFICATION = Proposal("1.2.840.10008.1.1", (IMPLICIT,))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "foreign")


@pytest.fixture(scope="module")
def ours(hospital: Authority) -> TLS:
    own, key, _ = hospital.issue("rasnode")
    return TLS(certificate=own, key=key, ca=hospital.ca, require_client_certificate=True)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, ours: TLS) -> Iterator[Queryable]:
    made = Queryable(tmp_path_factory.mktemp("node"))
    yield made.start(tls=ours)
    made.close()


@contextmanager
def shown_by(node: Queryable, shown: tuple[Path, Path, str], ca: Path) -> Iterator[Queryable]:
    """The node as a server that shows this certificate and believes this authority."""
    assert node.scp is not None
    before = node.dicom
    tls = TLS(certificate=shown[0], key=shown[1], ca=ca)
    node.scp.allow(before.model_copy(update={"tls": tls}))
    try:
        yield node
    finally:
        node.scp.allow(before)


def asked(node: Queryable, ours: TLS | None, **of_peer: object) -> str:
    """Why a C-ECHO to the server as a configured peer fails; empty if it does not."""
    host = of_peer.pop("host", HERE)
    settings = PeerSettings(
        name="pacs", ae_title="RASNODE", host=host, port=node.port, tls=True, **of_peer
    )
    try:
        echo(peer(Dicom(tls=ours), settings))
    except PeerSilent as error:
        return str(error)
    return ""


def test_a_peer_is_believed_by_authority_and_name(
    node: Queryable, hospital: Authority, foreign: Authority, ours: TLS
) -> None:
    with shown_by(node, hospital.issue("pacs"), hospital.ca):
        assert asked(node, ours) == ""
    with shown_by(node, hospital.issue("pacs", ["attacker.example"]), hospital.ca):
        assert "does not name the host" in asked(node, ours)
    with shown_by(node, hospital.issue("localhost", []), hospital.ca):  # a common name is no name
        assert "does not name the host" in asked(node, ours, host="localhost")
    with shown_by(node, hospital.issue("pacs", ["localhost"]), hospital.ca):
        assert asked(node, ours, host="localhost") == ""
    with shown_by(node, foreign.issue("pacs"), hospital.ca):
        assert "not signed by a trusted authority" in asked(node, ours)
    with shown_by(node, hospital.issue("pacs", days=(-9, -2)), hospital.ca):
        assert "has expired" in asked(node, ours)
    with shown_by(node, hospital.issue("pacs", days=(2, 9)), hospital.ca):
        assert "is not valid yet: check the clocks" in asked(node, ours)


def test_with_a_ca_the_systems_store_counts_no_more(
    node: Queryable,
    hospital: Authority,
    foreign: Authority,
    ours: TLS,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(foreign.ca))  # the system's, for OpenSSL
    without_ca = ours.model_copy(update={"ca": None, "require_client_certificate": False})
    with shown_by(node, foreign.issue("pacs"), hospital.ca):
        assert asked(node, without_ca) == ""
        assert asked(node, None) == ""
        assert "not signed by a trusted authority" in asked(node, ours)
    with shown_by(node, foreign.issue("pacs", ["attacker.example"]), hospital.ca):
        assert "does not name the host" in asked(node, None)


def test_a_pinned_certificate_is_the_only_one(
    node: Queryable, hospital: Authority, foreign: Authority, ours: TLS
) -> None:
    pinned = hospital.issue("pacs", ["pacs.example"])
    colons = ":".join(pinned[2][n : n + 2] for n in range(0, 64, 2)).upper()
    with shown_by(node, pinned, hospital.ca):
        assert asked(node, ours, certificate=colons) == ""
        assert asked(node, ours, certificate="PACS.example") == ""
        assert "is not that of dicom.peers[].certificate" in asked(
            node, ours, certificate="other.example"
        )
        assert "is not that of dicom.peers[].certificate" in asked(node, ours, certificate="0" * 64)
    forged = foreign.issue("pacs", ["pacs.example"])
    with shown_by(node, forged, hospital.ca):
        assert "not signed by a trusted authority" in asked(node, ours, certificate="pacs.example")
        assert "not signed by a trusted authority" in asked(node, ours, certificate=forged[2])


def come(
    node: Queryable,
    shown: tuple[Path, Path, str] | None,
    title: str = "PACS",
    ca: Path | None = None,
) -> str:
    """Associate as somebody with a certificate; why that fails, empty if it does not."""
    context = ssl.create_default_context(cafile=str(ca)) if ca else ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if shown is not None:
        context.load_cert_chain(*shown[:2])
    try:
        Requestor(
            Destination(HERE, node.port, "RASNODE", title, context, seconds=10.0), [VERIFICATION]
        ).release()
    except PeerSilent as error:
        return str(error)
    return ""


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], bool]:
    """Waits until the log has a sentence: the server may see an end later than the client."""

    def has(sentence: str) -> bool:
        return bool(eventually(lambda: sentence in caplog.text, 5, f"{sentence} in {caplog.text}"))

    return has


def test_a_title_belongs_to_its_certificate(
    node: Queryable, hospital: Authority, logged: Callable[[str], bool]
) -> None:
    pinned, other = hospital.issue("pacs", ["pacs.example"]), hospital.issue("scanner")
    for certificate in (pinned[2], "pacs.example"):
        known = PeerSettings(
            name="pacs", ae_title="PACS", host="10.9.9.9", tls=True, certificate=certificate
        )
        node.know(known)  # dicom.accept is any
        assert come(node, pinned) == ""
        assert "calling AE title not recognized" in come(node, other)
        assert come(node, other, "STRANGER") == ""
        assert logged(f"SHA-256 fingerprint of its certificate is {other[2]}")
    optional = node.dicom.tls.model_copy(  # type: ignore[union-attr]
        update={"require_client_certificate": False}
    )
    node.scp.allow(node.dicom.model_copy(update={"tls": optional}))  # type: ignore[union-attr]
    try:
        assert "calling AE title not recognized" in come(node, None)
        assert logged("it shows no certificate, which dicom.peers[].certificate asks for")
    finally:
        node.know()


def test_what_is_wrong_with_a_sender_is_told_apart(
    node: Queryable, hospital: Authority, foreign: Authority, logged: Callable[[str], bool]
) -> None:
    assert come(node, hospital.issue("sender", days=(-9, -2)))
    assert logged("TLS failed: its certificate, or its authority's, has expired: renew it")
    assert come(node, hospital.issue("sender", days=(2, 9)))
    assert logged("TLS failed: its certificate, or its authority's, is not valid yet")
    assert come(node, foreign.issue("sender"))
    assert logged("TLS failed: its certificate is not signed by a trusted authority")
    assert come(node, None)
    assert logged("TLS failed: it shows no certificate")
    with socket.create_connection((HERE, node.port)) as plain:
        plain.sendall(bytes.fromhex("0100000000cd0001"))
        assert logged("TLS failed: it does not speak TLS here")


def test_a_ca_that_was_taken_away_is_not_believed_any_more(
    node: Queryable, hospital: Authority, foreign: Authority
) -> None:
    theirs, own = foreign.issue("sender"), hospital.issue("node")
    with shown_by(node, own, foreign.ca):
        assert come(node, theirs) == ""
    assert come(node, theirs)


@pytest.mark.parametrize(
    ("peer_of", "sentence"),
    [
        ("certificate: pacs.example", "needs tls: true at the same peer and dicom.tls with a ca"),
        ("certificate: pacs.example, tls: true", "which needs dicom.tls with a ca"),
        ("certificate: 'not a name'", "a SHA-256 fingerprint of 64 hexadecimal digits, or"),
    ],
)
def test_a_certificate_that_nobody_would_look_at_is_a_mistake(
    tmp_path: Path, peer_of: str, sentence: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"dicom:\n  peers:\n  - {{name: pacs, ae_title: PACS, host: 10.0.0.5, {peer_of}}}\n"
    )
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        build()(["check-config", "-c", str(config)])
