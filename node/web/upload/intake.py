"""Takes the parts of an uploaded form into the node: files, and the files in ZIPs."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field

from node.core.errors import StorageFull
from node.core.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS
from node.core.system.disk import free_bytes
from node.storage.importing.upload import Uploads
from node.storage.importing.zip_files import BadZip, ZipFiles, is_zip
from node.web.operations import Operations
from node.web.upload.multipart import FormReader, Part

_MOST_FILES: Final = 100
_MOST_BYTES: Final = 64 << 20
_MOST_NOTED: Final = 1000  # series


class FileView(BaseModel):
    """What became of one file."""

    name: str = Field(description="As it was sent; of a file in a ZIP: study.zip/IM1.")
    sop_instance_uid: str = Field(description="Empty: the file cannot be read.")
    status: int = Field(description="As a C-STORE response would have it; 0: it is safe.")
    sentence: str


class UploadView(BaseModel):
    """What became of an upload."""

    files: list[FileView]
    stored: int
    refused: int


class Intake:
    """Takes one upload in. For one thread at a time; `close` it.

    Args:
        operations: of the node.
        content_type: of the request.

    Raises:
        BadForm: the request is no form.
        Retryable: nothing can be taken in now.
    """

    def __init__(self, operations: Operations, content_type: str) -> None:
        self._operations = operations
        self._files: list[FileView] = []
        self._names: dict[Path, str] = {}
        self._size = 0
        uploads = operations.uploads
        with ExitStack() as undo:
            self._folder = _folder(uploads)
            undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._form = FormReader(content_type, self._folder, uploads.minimum_free, self._take)
            undo.callback(self._form.close)
            self._upload = undo.enter_context(uploads.open())
            self._cleanup = undo.pop_all()

    def feed(self, chunk: bytes) -> None:
        """Take some bytes of the request.

        Raises:
            BadForm: they are no form. StorageFull: there is no room for the files.
        """
        self._form.feed(chunk)

    def finish(self, person: str) -> UploadView:
        """Take in what is left, and say what became of everything.

        Args:
            person: who uploaded it, for the history of the series.

        Raises:
            BadForm: the form is not complete.
        """
        self._form.finish()
        self._flush()
        stored = sum(one.status == SUCCESS for one in self._files)
        if stored:
            self._note(person)
        return UploadView(files=self._files, stored=stored, refused=len(self._files) - stored)

    def close(self) -> None:
        """Remove what is left of the upload; what was taken in stays."""
        self._cleanup.close()

    def _note(self, person: str) -> None:
        now = time.time()
        for pk in sorted(self._upload.series)[:_MOST_NOTED]:
            self._operations.work.note(pk, now=now, actor=person, why=f"uploaded by {person}")

    def _take(self, part: Part) -> None:
        if part.path is None:
            return
        name = part.filename or part.name
        if not part.filename and not part.path.stat().st_size:
            return  # a form without a chosen file
        if is_zip(part.path):
            self._take_zip(part.path, name)
            part.path.unlink()
        else:
            self._add(part.path, name)

    def _take_zip(self, path: Path, name: str) -> None:
        try:
            with ZipFiles(path) as packed:
                for number, entry in enumerate(packed.entries):
                    inner = f"{name}/{entry.filename}"
                    target = self._folder / f"{path.name}-{number:06d}"
                    try:
                        self._check_room(entry.file_size)
                        packed.unpack(entry, target)
                    except (BadZip, StorageFull, OSError) as error:
                        target.unlink(missing_ok=True)
                        full = not isinstance(error, BadZip)
                        status = OUT_OF_RESOURCES if full else CANNOT_UNDERSTAND
                        self._refuse(inner, status, str(error))
                        continue
                    self._add(target, inner)
        except BadZip as error:
            self._refuse(name, CANNOT_UNDERSTAND, str(error))

    def _check_room(self, size: int) -> None:
        if free_bytes(self._folder) < self._operations.uploads.minimum_free + size:
            raise StorageFull("the disk of the node has no room for this file")

    def _add(self, path: Path, name: str) -> None:
        self._names[path] = name
        self._size += path.stat().st_size
        if len(self._names) >= _MOST_FILES or self._size >= _MOST_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._names:
            return
        for result in self._upload.take(list(self._names)):
            self._files.append(
                FileView(
                    name=self._names[result.path],
                    sop_instance_uid=result.sop_instance_uid,
                    status=result.status,
                    sentence=result.sentence,
                )
            )
        for path in self._names:
            path.unlink(missing_ok=True)
        self._names.clear()
        self._size = 0

    def _refuse(self, name: str, status: int, sentence: str) -> None:
        self._files.append(
            FileView(name=name, sop_instance_uid="", status=status, sentence=sentence)
        )


def _folder(uploads: Uploads) -> Path:
    try:
        uploads.folder.mkdir(mode=0o700, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=uploads.folder))
    except OSError as error:
        raise StorageFull(f"the upload cannot be written: {error.strerror}") from error
