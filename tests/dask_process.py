"""A dask scheduler or worker as a process: `python -m tests.dask_process scheduler|worker …`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from distributed import Scheduler, Security, Worker


def _security(folder: str) -> Security | None:
    if not folder:
        return None
    return Security(
        tls_ca_file=f"{folder}/ca.pem",
        tls_scheduler_cert=f"{folder}/node.pem",
        tls_scheduler_key=f"{folder}/node.key",
        tls_worker_cert=f"{folder}/node.pem",
        tls_worker_key=f"{folder}/node.key",
        require_encryption=True,
    )


def _hide(folder: str) -> None:
    """Nothing below `folder` is there, as on a machine that has not mounted it."""
    access = os.access

    def hidden(path: Any, *args: Any, **kwargs: Any) -> bool:
        return not os.fspath(path).startswith(folder) and access(path, *args, **kwargs)

    os.access = hidden


async def _run(role: str, address: str, certificates: str, hidden: str) -> None:
    security: Any = _security(certificates)
    if role == "scheduler":
        server: Any = Scheduler(
            protocol=address.partition("://")[0],
            host="127.0.0.1",
            port=int(address.rpartition(":")[2]),
            dashboard_address=":0",
            security=security,
        )
    else:
        if hidden:
            _hide(hidden)
        server = Worker(address, nthreads=1, host="127.0.0.1", security=security)
    async with server:
        print("ready", server.address, flush=True)
        await server.finished()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
