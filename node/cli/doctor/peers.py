"""What `doctor` checks of peers, their passcodes and the Dask cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from node.cli.doctor.finding import Finding, Grade
from node.core.errors import NodeError
from node.core.settings.model import AssemblySettings, Dicom, Identity, PeerSettings
from node.core.settings.passcodes import outdated_users
from node.dimse.scu.requests import PeerSilent, echo, peer
from node.lifecycle.cluster import address_of, inspect_cluster
from node.storage.identity import FILE, identity_of

_PEER_SECONDS: Final = 10.0


def check_peers(dicom: Dicom) -> list[Finding]:
    """Whether each configured peer answers C-ECHO."""
    if not dicom.peers:
        return [Finding("peers", Grade.GOOD, "none configured")]
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda each: _check_peer(dicom, each), dicom.peers))


def _check_peer(dicom: Dicom, settings: PeerSettings) -> Finding:
    name = f"peer {settings.name}"
    try:
        echo(peer(dicom, settings, _PEER_SECONDS))
    except PeerSilent as silence:
        return Finding(
            name,
            Grade.WRONG,
            str(silence),
            f"check that it runs, that it can be reached and that it accepts the calling AE title "
            f"{dicom.ae_title}",
        )
    return Finding(name, Grade.GOOD, f"{settings.ae_title} answers C-ECHO")


def check_passcodes(identity: Identity | None) -> list[Finding]:
    """Whether all passcodes have hashes that take long to guess."""
    sentence = "" if identity is None else outdated_users(identity.users)
    if not sentence:
        return []
    found, _, advice = sentence.partition(": ")
    return [Finding("passcodes", Grade.NOTE, found, advice)]


def check_executor(assembly: AssemblySettings, root: Path) -> list[Finding]:
    """Whether the Dask cluster answers, has workers, and they see the archive.

    Args:
        assembly: settings.
        root: `storage.root`.
    """
    if assembly.executor == "local":
        return []
    try:
        address = address_of(assembly.executor, assembly.tls)
        look = inspect_cluster(address, assembly.tls, root.absolute(), FILE, identity_of(root))
    except NodeError as error:
        return [Finding("executor", Grade.WRONG, str(error), "read docs/postgresql-and-dask.md")]
    if look.fault is not None:
        advice = "start the scheduler and workers, or set assembly.executor: local"
        return [Finding("executor", Grade.WRONG, look.fault, advice)]
    count, threads = len(look.workers), sum(look.workers.values())
    works = Finding("executor", Grade.GOOD, f"{count} Dask workers with {threads} threads")
    return [works, *(_blind(worker, root) for worker in look.blind)]


def _blind(worker: str, root: Path) -> Finding:
    return Finding(
        "executor",
        Grade.WRONG,
        f"archive-not-seen: worker {worker} does not see storage.root at {root.absolute()}",
        "mount it on that machine under the same path, readable and writable for the worker's user",
    )
