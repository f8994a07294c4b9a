"""Sends a delivery as JSON by HTTP POST, signed so that the receiver knows who sent it and when."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from node.core.errors import ConfigError
from node.core.events import Delivery
from node.core.settings.deliver import WebhookSettings
from node.core.version import VERSION
from node.deliver.payload import AddInstances, encoded
from node.deliver.targets.target import DeliveryRefused, FailureName, TargetUnavailable

EVENT = "X-Rasnode-Event"
KEY = "Idempotency-Key"
TIMESTAMP = "X-Rasnode-Timestamp"
SIGNATURE = "X-Rasnode-Signature"
_LONGEST_AFTER = 3600.0  # seconds; a longer Retry-After is cut to this
_MOST_READ: Final = 16384  # bytes of the response body, so that a receiver need not see a reset
_READ_SECONDS: Final = 1.0  # for the body; only the status counts
_REFUSALS = (400, 405, 410, 411, 413, 414, 415, 422)  # a second try would get the same status


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Sign a request; the time is signed too, against replays.

    Args:
        secret: shared with the receiver.
        timestamp: seconds since 1970, in decimal digits.
        body: of the request.

    Returns:
        `sha256=` and the hexadecimal HMAC-SHA256 of `timestamp.body`.
    """
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


class Webhook:
    """A receiver of webhooks.

    Args:
        settings: the entry of `deliver:`.
        clock: returns seconds since 1970.
        instances: adds the series' instances to a payload; None: nothing is added.

    Raises:
        ConfigError: the file with the secret cannot be read.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        clock: Callable[[], float],
        instances: AddInstances | None = None,
    ) -> None:
        self._instances = instances
        self._url = str(settings.url)
        self._secret = _secret(settings)
        self._clock = clock
        self._seconds = settings.timeout_seconds
        self._certificates = httpx.create_ssl_context()

    def deliver(self, delivery: Delivery) -> None:
        """POST the payload; a status of 2xx is success.

        Raises:
            DeliveryRefused: the receiver answered that it will not accept this content.
            TargetUnavailable: no response in time, or any other status.
        """
        body = encoded(self._instances(delivery) if self._instances else delivery.payload)
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "Connection": "close",
            "User-Agent": f"rasnode/{VERSION}",
            EVENT: delivery.event,
            KEY: delivery.key,
            TIMESTAMP: timestamp,
        }
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, timestamp, body)
        try:
            # An invalid host name is told apart from one that does not resolve.
            httpx.URL(self._url).raw_host.decode("ascii").encode("idna")
            response = asyncio.run(self._post(body, headers))
        except TimeoutError as error:
            raise TargetUnavailable(
                f"{FailureName.TIMED_OUT}: no response within {self._seconds:g} s (timeout_seconds)"
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise TargetUnavailable(
                f"{FailureName.BAD_HOST_NAME}: the host name in the webhook's url is invalid; "
                "correct it and send SIGHUP"
            ) from error
        except httpx.HTTPError as error:
            raise TargetUnavailable(f"no response: {_cause(error)}") from error
        self._check_status(response)

    def _check_status(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        status = response.status_code
        sentence = f"the receiver answered {status} {_phrase(status)}".rstrip()
        if status in _REFUSALS:
            raise DeliveryRefused(sentence)
        after = _retry_after(response.headers.get("Retry-After", ""), self._clock())
        raise TargetUnavailable(sentence, after)

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """POST, and return the head of the response; a little of the body is read and dropped.

        asyncio's deadline covers the whole request; httpx's time-outs restart with each chunk.
        """
        response = None
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx.AsyncClient(verify=self._certificates, timeout=None) as client,  # noqa: S113
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                await _drain(response)
        except (TimeoutError, httpx.HTTPError):
            if response is None:
                raise
        return response


async def _drain(response: httpx.Response) -> None:
    read = 0
    async with asyncio.timeout(_READ_SECONDS):
        async for chunk in response.aiter_raw():
            read += len(chunk)
            if read > _MOST_READ:
                return


def _cause(error: BaseException) -> str:
    """What the operating system says of a connection; never what the receiver sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ExceptionGroup):  # of several addresses
            cause = cause.exceptions[0]
        if isinstance(cause, OSError) and cause.strerror:
            if isinstance(cause, ssl.SSLError | socket.gaierror) or not cause.errno:
                return cause.strerror
            return os.strerror(cause.errno)  # asyncio rewords some
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ProtocolError):
        return "the receiver does not speak HTTP, or closed the connection"
    return type(error).__name__


def _phrase(status: int) -> str:
    """The standard's reason phrase, not the receiver's."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _secret(settings: WebhookSettings) -> bytes:
    if settings.secret_file is None:
        return settings.secret.get_secret_value().encode() if settings.secret else b""
    try:
        return settings.secret_file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"deliver: secret_file {settings.secret_file} cannot be read: {error.strerror}"
        ) from error


def _retry_after(value: str, now: float) -> float | None:
    """The seconds that a Retry-After asks for, as a number or as a date (RFC 9110 10.2.3)."""
    if value.isascii() and value.isdecimal():
        return min(float(value), _LONGEST_AFTER)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_AFTER)
