"""JSON by HTTP POST, signed so that the receiver knows who sent it and when."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import httpx

from node.core.errors import ConfigError
from node.core.events import Delivery
from node.core.settings.deliver import WebhookSettings
from node.core.version import VERSION
from node.deliver.payload import Instances, encoded
from node.deliver.target import NeverTaken, TargetDown, Trouble

EVENT = "X-Rasnode-Event"
KEY = "Idempotency-Key"
TIMESTAMP = "X-Rasnode-Timestamp"
SIGNATURE = "X-Rasnode-Signature"
_LONGEST_AFTER = 3600.0  # seconds that a Retry-After is honoured
_MOST_READ: Final = 16384  # bytes of an answer's body, so that its sender need not see a reset
_READ_SECONDS: Final = 1.0  # what they may take: the status has said everything
_NEVER = (400, 405, 410, 411, 413, 414, 415, 422)  # the same bytes would get the same answer


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC of `timestamp.body`: the time is signed against replays."""
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


class Webhook:
    """A receiver of webhooks.

    Args:
        clock: seconds since 1970.
        instances: adds the series' instances to a payload.

    Raises:
        ConfigError: the file with the secret cannot be read.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        clock: Callable[[], float],
        instances: Instances | None = None,
    ) -> None:
        self._instances = instances
        self._url = str(settings.url)
        self._secret = _secret(settings)
        self._clock = clock
        self._seconds = settings.timeout_seconds
        self._certificates = httpx.create_ssl_context()

    def deliver(self, delivery: Delivery) -> None:
        """POST the payload; 2xx is success, refusals of the content are for good."""
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
            # What cannot be a name is told apart from one that nobody has.
            httpx.URL(self._url).raw_host.decode("ascii").encode("idna")
            response = asyncio.run(self._post(body, headers))
        except TimeoutError as error:
            raise TargetDown(
                f"{Trouble.TIMED_OUT}: no answer within {self._seconds:g} s (timeout_seconds)"
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise TargetDown(
                f"{Trouble.BAD_HOST_NAME}: the host name of the webhook's url is none that can be "
                "looked up; correct it and send SIGHUP"
            ) from error
        except httpx.HTTPError as error:
            raise TargetDown(f"no answer: {_words(error)}") from error
        self._judge(response)

    def _judge(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        said = f"it answered {response.status_code} {_phrase(response.status_code)}".rstrip()
        if response.status_code in _NEVER:
            raise NeverTaken(said)
        raise TargetDown(said, _retry_after(response))

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer's head; of its body not more than a little is read, and nothing kept.

        asyncio, because its deadline counts for all of it: httpx's time-outs begin anew with each
        piece that comes.
        """
        response = None
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx.AsyncClient(verify=self._certificates, timeout=None) as client,  # noqa: S113
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                await _read_a_little(response)
        except (TimeoutError, httpx.HTTPError):
            if response is None:
                raise
        return response


async def _read_a_little(response: httpx.Response) -> None:
    read = 0
    async with asyncio.timeout(_READ_SECONDS):
        async for piece in response.aiter_raw():
            read += len(piece)
            if read > _MOST_READ:
                return


def _words(error: BaseException) -> str:
    """What the system says of a connection; what the other side says stays untold."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ExceptionGroup):  # of several addresses
            cause = cause.exceptions[0]
        if isinstance(cause, OSError) and cause.strerror:
            if isinstance(cause, ssl.SSLError | socket.gaierror) or not cause.errno:
                return cause.strerror
            return os.strerror(cause.errno)  # asyncio has words of its own for some
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ProtocolError):
        return "it does not speak HTTP, or closed the connection"
    return type(error).__name__


def _phrase(status: int) -> str:
    """The standard's words, not the receiver's."""
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


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), _LONGEST_AFTER) if value.isdecimal() else None
