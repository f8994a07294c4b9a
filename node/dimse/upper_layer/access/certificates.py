"""What a peer's certificate says of it, and what is wrong where TLS fails."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from typing import Any, Final

_NOT_TRUSTED: Final = (
    "its certificate is signed by no authority that we trust: add the one that signed it to "
    "dicom.tls.ca, or a certificate that signed itself"
)
_OTHER_NAME: Final = (
    "its certificate is for another name than the host that was connected to: correct the "
    "peer's host, or set dicom.peers[].certificate to a name or fingerprint that it has"
)
_VERIFICATION: Final = {
    9: "its certificate, or its authority's, is not valid yet: look at the clocks of both machines",
    10: "its certificate, or its authority's, has expired: it needs a new one",
    18: _NOT_TRUSTED,
    19: _NOT_TRUSTED,
    20: _NOT_TRUSTED,
    21: _NOT_TRUSTED,
    26: "its certificate is not made for this use: look at its Extended Key Usage",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
"""Results of OpenSSL's verification (X509_V_ERR_…) that an administrator can do something about."""
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS here",
    "HTTP_REQUEST": "it speaks HTTP",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (
        "it shows no certificate, which dicom.tls.require_client_certificate asks for"
    ),
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS 1.2 or later",
    "ALERT_PROTOCOL_VERSION": "it speaks no TLS 1.2 or later",
    "NO_SHARED_CIPHER": "it has no cipher with forward secrecy (ECDHE with AES-GCM or ChaCha20)",
    "ALERT_HANDSHAKE_FAILURE": "it refuses our ciphers or our lack of a certificate",
    "ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours: set dicom.tls",
    "ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired",
    "ALERT_UNKNOWN_CA": "it does not know the authority that signed our certificate",
    "ALERT_BAD_CERTIFICATE": "it refuses our certificate",
    "ALERT_CERTIFICATE_UNKNOWN": "it refuses our certificate",
}
"""OpenSSL's reasons; ALERT_…: the end of the name of what the other side says of us."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was shown and found to be signed by somebody whom we trust.

    Attributes:
        subject: its common name, for people.
        fingerprint: SHA-256 of the whole, hexadecimal digits in lower case.
        names: DNS names and IP addresses of its Subject Alternative Name.
    """

    subject: str
    fingerprint: str
    names: frozenset[str]

    def is_that(self, wanted: str) -> bool:
        """Whether it is the one that `dicom.peers[].certificate` asks for."""
        return wanted == self.fingerprint or _name(wanted) in self.names


def shown(connection: object) -> Certificate | None:
    """What the other end of a connection has shown; None without TLS or certificate."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    said: dict[str, Any] = connection.getpeercert() or {}
    whole = connection.getpeercert(binary_form=True)
    if not said or whole is None:
        return None
    subject = dict(pair for group in said.get("subject", ()) for pair in group)
    names = (name for kind, name in said.get("subjectAltName", ()) if kind in _KINDS)
    return Certificate(
        str(subject.get("commonName", "")),
        hashlib.sha256(whole).hexdigest(),
        frozenset(map(_name, names)),
    )


_KINDS: Final = ("DNS", "IP Address")


def _name(text: str) -> str:
    """A name as it is compared: case and the spelling of an address do not matter."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text.lower().rstrip(".")


def explained(error: OSError) -> str:
    """Why TLS failed and what to do, with OpenSSL's own word for it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = _VERIFICATION.get(error.verify_code, "its certificate cannot be verified")
        return f"{said} ({error.verify_message})"
    reason = str(getattr(error, "reason", None) or error.strerror or type(error).__name__)
    for name, sentence in _REASONS.items():
        if reason.endswith(name):
            return f"{sentence} ({reason})"
    return reason
