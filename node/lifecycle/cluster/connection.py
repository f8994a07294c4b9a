"""The connection to a dask scheduler, made again after a loss."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from node.core.errors import ConfigError

ANSWER_SECONDS: Final = 5.0  # for connecting to a scheduler, and for each of its answers
_MOST_UNANSWERED: Final = 3  # queries in a row; then the connection is made again


class Certificates(Protocol):
    """Files in PEM form, as `assembly.tls` names them."""

    @property
    def certificate(self) -> Path: ...
    @property
    def key(self) -> Path: ...
    @property
    def ca(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The state of a cluster, as its scheduler last said.

    Attributes:
        workers: the address of each live worker, and its number of threads.
        fault: why no job can run there; None if one can.
    """

    workers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    fault: str | None = None


def address_of(executor: str, tls: Certificates | None) -> str:
    """The scheduler's address as Dask writes it, from `dask://host:port`.

    Args:
        executor: `assembly.executor`.
        tls: the node's certificate; None: without TLS.
    """
    return executor.replace("dask://", "tcp://" if tls is None else "tls://", 1)


class ClusterConnection:
    """Holds a client while there is a scheduler. Only `query` may wait for it.

    Args:
        address: of the scheduler, `tcp://host:port` or `tls://host:port`.
        tls: the node's certificate, its key, and the CA of the cluster's certificates.

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
        self._unanswered = 0

    @property
    def client(self) -> Any:
        """The client, if jobs can be submitted to it; else None."""
        client = self._client
        return client if client is not None and client.status == "running" else None

    @property
    def worker_died(self) -> type[BaseException]:
        """The error of a job whose workers died repeatedly."""
        died: type[BaseException] = self._distributed.KilledWorker
        return died

    def query(self) -> ClusterState | None:
        """Ask the scheduler for its workers; connect first, if there is no connection.

        Returns:
            the state; None if a busy scheduler did not answer in time, but is still connected.
        """
        try:
            if self._client is None or self._client.status == "closed":
                self._client = self._connected()
            workers = dict(self._client.nthreads(callback_timeout=ANSWER_SECONDS))
        except Exception as error:  # noqa: BLE001  Dask raises many kinds of error for this
            self._unanswered += 1
            if self.client is not None and self._unanswered < _MOST_UNANSWERED:
                return None
            self.close()
            return ClusterState(fault=self._fault(error))
        self._unanswered = 0
        if not workers:
            return ClusterState(
                fault=f"the dask cluster at {self.address} has no workers; series wait until some "
                f"are started: dask worker {self.address}"
            )
        return ClusterState(MappingProxyType(workers))

    def close(self) -> None:
        """Disconnect, without waiting long for a scheduler that does not answer."""
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
            f"the dask scheduler at {self.address} does not answer ({kind}); series wait until "
            "it does; check that it runs and can be reached"
        )


def _security(distributed: Any, tls: Certificates) -> Any:
    for file in (tls.certificate, tls.key, tls.ca):
        try:
            file.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"assembly.tls: the node cannot read {file}: {error.strerror}"
            ) from error
    return distributed.Security(
        tls_ca_file=str(tls.ca),
        tls_client_cert=str(tls.certificate),
        tls_client_key=str(tls.key),
        require_encryption=True,
    )
