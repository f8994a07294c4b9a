"""JSON by HTTP POST, signed so that the receiver knows who sent it and when."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

import httpx

from node.deliver.target import NeverTaken, TargetDown
from node.deliver_settings import WebhookSettings
from node.deliveries import Delivery
from node.errors import ConfigError
from node.version import VERSION

EVENT = "X-Rasnode-Event"
KEY = "Idempotency-Key"
TIMESTAMP = "X-Rasnode-Timestamp"
SIGNATURE = "X-Rasnode-Signature"
_LONGEST_AFTER = 3600.0  # seconds that a Retry-After is honoured
_NEVER = (400, 405, 410, 411, 413, 414, 415, 422)  # the same bytes would get the same answer


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC of `timestamp.body`: the time is signed against replays."""
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


class Webhook:
    """A receiver of webhooks.

    Args:
        clock: seconds since 1970.

    Raises:
        ConfigError: the file with the secret cannot be read.
    """

    def __init__(self, settings: WebhookSettings, clock: Callable[[], float]) -> None:
        self._url = str(settings.url)
        self._secret = _secret(settings)
        self._clock = clock
        self._client = httpx.Client(timeout=settings.timeout_seconds, follow_redirects=False)

    def deliver(self, delivery: Delivery) -> None:
        """POST the payload; 2xx is success, refusals of the content are for good."""
        body = json.dumps(delivery.payload, ensure_ascii=False, sort_keys=True).encode()
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"rasnode/{VERSION}",
            EVENT: delivery.event,
            KEY: delivery.key,
            TIMESTAMP: timestamp,
        }
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, timestamp, body)
        try:
            response = self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise TargetDown(f"no answer: {str(error) or type(error).__name__}") from error
        if response.is_success:
            return
        said = f"it answered {response.status_code} {response.reason_phrase}"
        if response.status_code in _NEVER:
            raise NeverTaken(said)
        raise TargetDown(said, _retry_after(response))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _secret(settings: WebhookSettings) -> bytes:
    if settings.secret_file is None:
        return settings.secret.get_secret_value().encode() if settings.secret else b""
    try:
        return settings.secret_file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"deliver: secret_file {settings.secret_file} cannot be read: {error.strerror}"
        ) from error


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), _LONGEST_AFTER) if value.isdecimal() else None
