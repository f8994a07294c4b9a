"""What a peer's certificate says about it, and why TLS fails."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from typing import Any, Final

_NOT_TRUSTED: Final = (
    "its certificate is not signed by a trusted authority: add that authority, or a self-signed "
    "certificate itself, to dicom.tls.ca"
)
_OTHER_NAME: Final = (
    "its certificate does not name the host that was connected to: correct the peer's host, or set "
    "dicom.peers[].certificate to a name or fingerprint of the certificate"
)
_VERIFICATION: Final = {
    9: "its certificate, or its authority's, is not valid yet: check the clocks of both machines",
    10: "its certificate, or its authority's, has expired: renew it",
    18: _NOT_TRUSTED,
    19: _NOT_TRUSTED,
    20: _NOT_TRUSTED,
    21: _NOT_TRUSTED,
    26: "its certificate may not be used for this: check its Extended Key Usage",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
"""Results of OpenSSL's verification (X509_V_ERR_…) that an administrator can act on."""
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS here",
    "HTTP_REQUEST": "it sends HTTP",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (
        "it shows no certificate, which dicom.tls.require_client_certificate asks for"
    ),
    "UNSUPPORTED_PROTOCOL": "it does not support TLS 1.2 or later",
    "ALERT_PROTOCOL_VERSION": "it does not support TLS 1.2 or later",
    "NO_SHARED_CIPHER": "it has no cipher with forward secrecy (ECDHE with AES-GCM or ChaCha20)",
    "ALERT_HANDSHAKE_FAILURE": "it refuses our ciphers, or that we show no certificate",
    "ALERT_CERTIFICATE_REQUIRED": "it asks for a certificate: set dicom.tls",
    "ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired",
    "ALERT_UNKNOWN_CA": "it does not know the authority that signed our certificate",
    "ALERT_BAD_CERTIFICATE": "it refuses our certificate",
    "ALERT_CERTIFICATE_UNKNOWN": "it refuses our certificate",
}
"""By the end of OpenSSL's reason; ALERT_…: what the other side reports."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that a peer has shown and that a trusted authority has signed.

    Attributes:
        subject: its common name, for people.
        fingerprint: SHA-256 of its DER encoding, hexadecimal digits in lower case.
        names: DNS names and IP addresses of its Subject Alternative Name.
    """

    subject: str
    fingerprint: str
    names: frozenset[str]

    def is_that(self, wanted: str) -> bool:
        """Whether it is the one that `dicom.peers[].certificate` names."""
        return wanted == self.fingerprint or _name(wanted) in self.names


def shown(connection: object) -> Certificate | None:
    """The certificate that the peer has shown; None without TLS or certificate."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    fields: dict[str, Any] = connection.getpeercert() or {}
    encoded = connection.getpeercert(binary_form=True)
    if not fields or encoded is None:
        return None
    subject = dict(pair for group in fields.get("subject", ()) for pair in group)
    names = (name for kind, name in fields.get("subjectAltName", ()) if kind in _KINDS)
    return Certificate(
        str(subject.get("commonName", "")),
        hashlib.sha256(encoded).hexdigest(),
        frozenset(map(_name, names)),
    )


_KINDS: Final = ("DNS", "IP Address")


def _name(text: str) -> str:
    """A name in the form in which names are compared: without case, addresses in one spelling."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text.lower().rstrip(".")


def explained(error: OSError) -> str:
    """Why TLS failed and what to do, with OpenSSL's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        sentence = _VERIFICATION.get(error.verify_code, "its certificate cannot be verified")
        return f"{sentence} ({error.verify_message})"
    reason = str(getattr(error, "reason", None) or error.strerror or type(error).__name__)
    for name, sentence in _REASONS.items():
        if reason.endswith(name):
            return f"{sentence} ({reason})"
    return reason
