"""A site over a real index and archive, with one finished series of hostile text."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest
from PIL import Image

from node.cli.demo.phantom import ct_study
from node.core.errors import NodeError
from node.core.records import SeriesState
from node.core.settings.deliver import TargetSettings
from node.core.settings.file import Configuration, load_configuration
from node.core.settings.http import Http
from node.core.settings.model import PeerSettings, Storage
from node.core.statuses import SUCCESS
from node.core.supervision import background
from node.core.system.listening import bound
from node.dimse.pull.ordering import check_order
from node.storage.access.accounts import Accounts
from node.storage.archive import Archive
from node.storage.importing.upload import Uploads
from node.storage.index.engine import Index
from node.storage.index.series.publications import Publications
from node.storage.index.series.work import Work
from node.storage.index.store import Store
from node.storage.ingest.ingester import Ingester
from node.storage.ingest.service import IngestService
from node.storage.journal import Journal
from node.storage.receive.instance_receiver import incoming_from_file
from node.web.administration import Administration
from node.web.app import create_app
from node.web.auth.secrets import digest_of, new_secret
from node.web.http.server import WebServer
from node.web.operations import Operations, ReadAgain
from node.web.roles import Role
from node.web.site import Site
from node.web.viewer.client import Viewer
from node.web.viewer.copies import Copies
from node.web.viewer.messages import Answered, Asked
from node.web.viewer.service import VolumeService
from tests.databases import migrated_sqlite
from tests.storing import DirectReception

HOSTILE = '"><script>alert(1)</script>'
PATIENT = ("HOSTILE^NAME", "SECRET-ID-77", "19700131", "ACC-4711")
NOW = datetime(2025, 3, 4, 9, 30, 0)  # noqa: DTZ001  DICOM times are the scanner's local time


def viewer_of(folder: Path) -> Viewer:
    """A viewer in this process, whose copies are in a folder."""
    service = VolumeService(Copies(folder, 0))

    def ask(asked: Asked) -> tuple[Answered, bytes]:
        head, body = service.answer(asked)
        return head.checked(), body

    return ask


@dataclass
class World:
    """What a test can look at and change."""

    index: Index
    archive: Archive
    outputs: Path
    work: Work
    uids: list[str] = field(default_factory=list)
    echo_fault: NodeError | None = None
    stuck: bool = False
    minimum_free: int = 0
    volume_viewer: Viewer | None = None
    output_name: str = "{StudyInstanceUID}/{SeriesNumber}"
    deliveries: list[TargetSettings] = field(default_factory=list)
    peers: list[PeerSettings] = field(default_factory=list)
    cleanup: ExitStack = field(default_factory=ExitStack)

    @property
    def accounts(self) -> Accounts:
        """Users, tokens and sessions of the node."""
        return Accounts(self.archive.root.parent)

    def echo(self) -> None:
        if self.echo_fault:
            raise self.echo_fault

    def receive(self, description: str = HOSTILE) -> str:
        """Take a CT of four slices in; returns its SeriesInstanceUID."""
        receiver = DirectReception(self.archive, Store(self.index), lambda: 1_700_000_000.0)
        study = ct_study(NOW, (8, 8, 4))
        for image in study.data_sets:
            image.SeriesDescription = description
            image.PatientName, image.PatientID, image.PatientBirthDate = PATIENT[:3]
            image.AccessionNumber = PATIENT[3]
            written = io.BytesIO()
            image.save_as(written, enforce_file_format=True)
            assert receiver.store(incoming_from_file(written.getvalue())).status == SUCCESS
        self.uids.append(study.series_uid)
        return study.series_uid

    def publish(self, uid: str, name: str = "a/3_CT") -> np.ndarray:
        """Give the series a first revision; returns its array."""
        series = self.work.series(uid)
        assert series is not None
        array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
        folder = (self.outputs / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        affine = np.diag([2.0, 3.0, 4.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(array, affine), self.outputs / f"{name}.nii.gz")
        Image.new("L", (3, 3)).save(self.outputs / f"{name}.png")
        sources = [{"k": k, "t": 0, "sop_instance_uid": f"1.2.{k}"} for k in range(6)]
        manifest = {"slice_axis": "k", "sources": sources}
        (self.outputs / f"{name}.manifest.json").write_text(json.dumps(manifest))
        files = [f"{name}.nii.gz", f"{name}.png", f"{name}.manifest.json"]
        verdict = {
            "verdict": "complete",
            "why": "waited",
            "reasons": [{"source": "grid", "says": "complete", "reason": HOSTILE}],
            "refusals": [{"reason": "missing-slice", "sentence": HOSTILE}],
        }
        publications, revision = Publications(self.index), series.revision + 1
        digests = {one: sha256((self.outputs / one).read_bytes()).hexdigest() for one in files}
        now = 1_700_000_100.0
        assert publications.begin(series, revision, "", files, verdict, now, digests)
        detail = {"why": "waited", "files": files[:1]}
        publications.finish(
            series, revision, SeriesState.READY, now=now, actor="test", detail=detail
        )
        return array

    def site(self) -> Site:
        return Site(
            self.index,
            self.archive,
            outputs=self.outputs,
            output_name=self.output_name,
            minimum_free=self.minimum_free,
            ae_title="RASNODE",
            dicom_port=lambda: 11112,
            echo=self.echo,
            ingest_blocked=lambda: self.stuck,
            operations=self.operations(),
            administration=Administration(self.accounts, self.configuration),
            viewer=self.volume_viewer or viewer_of(self.outputs.parent / "viewer-cache"),
        )

    def operator(self) -> httpx.Client:
        """A client of an operator, otto, whom the node knows by a token."""
        return self.known("otto", Role.OPERATOR)

    def viewer(self) -> httpx.Client:
        """A client of a viewer, vera, whom the node knows by a token."""
        return self.known("vera", Role.VIEWER)

    def known(self, name: str, role: Role) -> httpx.Client:
        """A client with a token."""
        token = new_secret()
        self.accounts.add_token(name, role, digest_of(token), None)
        http = Http.model_validate({"auth": {"local": True}})
        return self.client(http, headers={"Authorization": f"Bearer {token}"})

    def configuration(self) -> Configuration:
        """That of the file `config.yaml` beside the archive, if there is one."""
        root = self.archive.root.parent
        file = root / "config.yaml"
        if not file.exists():
            file.write_text(f"storage: {{root: {root}}}\n")
        return load_configuration(file)

    def operations(self) -> Operations:
        """What operators do, with an ingester that runs in a thread."""
        root = self.archive.root.parent
        journal = Journal(root)
        self.cleanup.callback(journal.close)
        woken, stopping = threading.Event(), threading.Event()

        def wait(seconds: float) -> bool:
            woken.wait(seconds)
            woken.clear()
            return not stopping.is_set()

        ingester = Ingester(self.archive, Store(self.index), time.time)
        service = IngestService(
            journal, ingester, self.archive, self.index, wait=wait, ingested=lambda _report: None
        )
        thread = background("ingester", service.run)

        def stop() -> None:
            stopping.set()
            woken.set()
            thread.join(30)

        self.cleanup.callback(stop)
        storage = Storage(root=root, minimum_free=0)
        return Operations(
            self.index,
            root,
            Uploads(storage, journal, self.index, woken.set),
            ReadAgain(
                peers=lambda: ["pacs"],
                peer_names=lambda _title, _address: (),
                deliveries=lambda: self.deliveries,
            ),
            check_pull=lambda new: check_order(new, self.peers),
            wake=lambda: None,
        )

    def client(self, http: Http | None = None, **options: Any) -> httpx.Client:
        """A client of a real server with these settings, on a port of its own."""
        http = http or Http()
        app = create_app(self.site(), http, self.accounts)
        server = WebServer(app, bound("127.0.0.1", 0), http.tls)
        server.start()
        self.cleanup.callback(server.stop)
        scheme = "https" if http.tls else "http"
        base = f"{scheme}://127.0.0.1:{server.port}"
        return self.cleanup.enter_context(httpx.Client(base_url=base, **options))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    archive = Archive(tmp_path)
    archive.prepare()
    index = Index(migrated_sqlite(tmp_path / "index.db"))
    (tmp_path / "nifti").mkdir(exist_ok=True)
    made = World(index, archive, tmp_path / "nifti", Work(index))
    with made.cleanup:
        yield made
    made.index.close()
