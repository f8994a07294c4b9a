"""The page by HTTPS: TLS 1.2 or later, Secure cookies, and new certificates without a restart."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from node.core.errors import ConfigError
from node.core.settings.http import Http, HttpTLS
from node.core.settings.passcodes import make_hash
from node.core.system.listening import bound
from node.web.app import create_app
from node.web.http.certificate import PageCertificate
from node.web.http.server import WebServer
from tests.unit.web.conftest import World


def make(folder: Path, name: str) -> HttpTLS:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
            certificate, "-days", "2", "-subj", f"/CN={name}", "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return HttpTLS(certificate=certificate, key=key)


def shown(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_the_login_works_by_https_with_a_cookie_for_this_host_alone(
    world: World, tmp_path: Path
) -> None:
    tls = make(tmp_path, "page")
    world.accounts.add_user("vera", "viewer", make_hash("Correct-horse-1"))
    settings = Http.model_validate({"auth": {"local": True}, "tls": tls})
    client = world.client(settings, verify=ssl.create_default_context(cafile=tls.certificate))
    answer = client.post("/login", data={"name": "vera", "password": "Correct-horse-1"})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-rasnode_session=")
    assert "Secure" in cookie
    assert client.get("/api/session").json()["name"] == "vera"


def test_old_versions_of_tls_and_plain_http_are_not_answered(world: World, tmp_path: Path) -> None:
    client = world.client(Http(tls=make(tmp_path, "page")), verify=False)
    address = (client.base_url.host, client.base_url.port)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection(address, 10) as raw, pytest.raises(OSError, match=r"(?i)tls|ssl"):
        old.wrap_socket(raw)
    with socket.create_connection(address, 10) as raw:
        raw.sendall(b"GET /api/node HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert not raw.recv(64).startswith(b"HTTP/1.1 200")


def test_a_new_certificate_is_shown_without_a_restart_and_a_wrong_one_is_not(
    world: World, tmp_path: Path
) -> None:
    tls, new = make(tmp_path, "page"), make(tmp_path, "new")
    server = WebServer(create_app(world.site(), Http(tls=tls)), bound("127.0.0.1", 0), tls)
    server.start()
    world.cleanup.callback(server.stop)
    first = shown(server.port)
    tls.certificate.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"page\.pem"):
        server.reread_certificate()
    assert shown(server.port) == first
    tls.certificate.write_bytes(new.certificate.read_bytes())
    with pytest.raises(ConfigError, match=r"page\.key"):  # of another certificate
        server.reread_certificate()
    assert shown(server.port) == first
    tls.key.write_bytes(new.key.read_bytes())
    server.reread_certificate()
    assert shown(server.port) == new.certificate.read_text()


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    tls = make(tmp_path, "page")
    getattr(tls, missing).unlink()
    with pytest.raises(ConfigError, match=rf"page\..*http\.tls\.{missing}.*cannot be read"):
        PageCertificate(tls)
