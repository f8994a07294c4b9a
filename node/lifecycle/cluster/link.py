"""The connection to a dask scheduler: lost and made again, without anybody waiting for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from node.core.errors import ConfigError

ANSWER_SECONDS: Final = 5.0  # for a scheduler to be connected to, and for each of its answers
_SILENCES: Final = 3  # so many unanswered questions in a row, and the connection is made anew


class Certificates(Protocol):
    """Files in PEM form, as `assembly.tls` names them."""

    @property
    def certificate(self) -> Path: ...
    @property
    def key(self) -> Path: ...
    @property
    def ca(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What was last heard of a cluster.

    Attributes:
        workers: address of each live worker -> its number of threads.
        fault: why nothing can be computed there; None if it can.
    """

    workers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    fault: str | None = None


def address_of(executor: str, tls: Certificates | None) -> str:
    """The scheduler's address in Dask's words, of `dask://host:port`."""
    return executor.replace("dask://", "tcp://" if tls is None else "tls://", 1)


class Link:
    """Holds a client while there is a scheduler. `look` may wait; nothing else does.

    Args:
        address: of the scheduler, `tcp://host:port` or `tls://host:port`.
        tls: the node's certificate, its key, and who may have signed the cluster's.

    Raises:
        ConfigError: distributed is not installed, or the certificates cannot be used.
    """

    def __init__(self, address: str, tls: Certificates | None = None) -> None:
        try:
            import distributed  # noqa: PLC0415  an optional dependency
        except ImportError as error:
            raise ConfigError(
                "assembly.executor names a dask scheduler, but distributed is not installed; "
                "install rasnode[dask]"
            ) from error
        self._distributed: Any = distributed
        self.address = address
        self._security = None if tls is None else _security(distributed, tls)
        self._client: Any = None
        self._silences = 0

    @property
    def client(self) -> Any:
        """The client, if work can be handed to it; else None."""
        client = self._client
        return client if client is not None and client.status == "running" else None

    @property
    def worker_died(self) -> type[BaseException]:
        """What a job fails with whose workers died again and again."""
        died: type[BaseException] = self._distributed.KilledWorker
        return died

    def look(self) -> Seen | None:
        """Ask the scheduler who works for it; connect first, where that has to be done.

        Returns:
            None if it did not answer this once, though the connection stands: it is busy.
        """
        try:
            if self._client is None or self._client.status == "closed":
                self._client = self._connected()
            workers = dict(self._client.nthreads(callback_timeout=ANSWER_SECONDS))
        except Exception as error:  # noqa: BLE001  Dask has many ways to say that nobody is there
            self._silences += 1
            if self.client is not None and self._silences < _SILENCES:
                return None
            self.close()
            return Seen(fault=self._fault(error))
        self._silences = 0
        if not workers:
            return Seen(
                fault=f"the dask cluster at {self.address} has no workers; series stay settled "
                f"until some are started: dask worker {self.address}"
            )
        return Seen(MappingProxyType(workers))

    def close(self) -> None:
        """Leave the cluster, without waiting for a scheduler that does not answer."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close(timeout=ANSWER_SECONDS / 2)

    def _connected(self) -> Any:
        return self._distributed.Client(
            self.address,
            timeout=f"{ANSWER_SECONDS:g}s",
            set_as_default=False,
            security=self._security,
        )

    def _fault(self, error: Exception) -> str:
        kind = type(error).__name__
        return (
            f"the dask scheduler at {self.address} does not answer ({kind}); series stay settled "
            "until it does"
        )


def _security(distributed: Any, tls: Certificates) -> Any:
    for file in (tls.certificate, tls.key, tls.ca):
        try:
            file.read_bytes()
        except OSError as error:
            raise ConfigError(f"assembly.tls: cannot read {file}: {error.strerror}") from error
    return distributed.Security(
        tls_ca_file=str(tls.ca),
        tls_client_cert=str(tls.certificate),
        tls_client_key=str(tls.key),
        require_encryption=True,
    )
