"""Certificates for tests of TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = "127.0.0.1"


class Authority:
    """A certificate authority in a folder of its own; its own certificate is `ca`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = folder / f"{name}.pem"
        made = _signed(self._name, self._key, self._name, self._key, (), ca=True, days=(-1, 30))
        self.ca.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, names: Sequence[str] = (HERE,), days: tuple[int, int] = (-1, 30)
    ) -> tuple[Path, Path, str]:
        """A certificate for somebody, its key, and its SHA-256 fingerprint.

        Args:
            names: host names and addresses of its Subject Alternative Name.
            days: from when to when it is valid, counted from today.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        made = _signed(_name(name), key, self._name, self._key, names, ca=False, days=days)
        own, secret = _written(self._folder, name, made, key)
        return own, secret, made.fingerprint(hashes.SHA256()).hex()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority; returns it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("rasnode test")
    made = _signed(name, key, name, key, (HERE,), ca=True, days=(-1, 1))
    return _written(folder, "own", made, key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    by: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    *,
    ca: bool,
    days: tuple[int, int],
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        known = x509.SubjectAlternativeName([_general(name) for name in names])
        builder = builder.add_extension(known, critical=False)
    return builder.sign(by, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _written(
    folder: Path, name: str, made: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> tuple[Path, Path]:
    own, secret = folder / f"{name}.pem", folder / f"{name}.key"
    own.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return own, secret
