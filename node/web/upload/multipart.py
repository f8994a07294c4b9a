"""Reads a multipart/form-data request part by part: files go to the disk, fields to memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from node.core.errors import Permanent, StorageFull
from node.core.system.disk import free_bytes

MOST_PARTS: Final = 100_000
_LONGEST_HEADER: Final = 16 << 10
_LONGEST_FIELD: Final = 256 << 10
_LONGEST_NAME: Final = 1024
_LOOK_BYTES: Final = 16 << 20
"""Written bytes after which the free disk space is looked at again."""


class BadForm(Permanent):
    """The body of a request is no form that can be read."""


class Part:
    """One part of a form.

    Attributes:
        name: of the field.
        filename: as the client has it; None: the part is no file.
        path: the file; None: the part is a field.
        value: of a field.
    """

    def __init__(self, name: str, filename: str | None, path: Path | None) -> None:
        self.name = name
        self.filename = filename
        self.path = path
        self.value = b""


class FormReader:
    """Takes the bytes of a request. For one thread at a time.

    Args:
        content_type: of the request.
        folder: where the files go; their names are numbers.
        minimum_free: bytes of the disk that are left free.
        done: called with each part that is complete.

    Raises:
        BadForm: the request is no multipart/form-data.
    """

    def __init__(
        self, content_type: str, folder: Path, minimum_free: int, done: Callable[[Part], None]
    ) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 256:
            raise BadForm("send multipart/form-data with a boundary")
        self._folder = folder
        self._minimum_free = minimum_free
        self._done = done
        self._count = 0
        self._since_look = _LOOK_BYTES
        self._field, self._value, self._headers = b"", b"", dict[bytes, bytes]()
        self._part: Part | None = None
        self._file: BinaryIO | None = None
        self._ended = False
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._whole,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> None:
        """Take some bytes.

        Raises:
            BadForm: they are no form. StorageFull: there is no room for the files.
        """
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BadForm("the form is broken") from error
        except OSError as error:
            raise StorageFull(f"the files cannot be written: {error.strerror}") from error

    def finish(self) -> None:
        """The request has ended.

        Raises:
            BadForm: the form has not.
        """
        if not self._ended:
            raise BadForm("the form ends before its last boundary")

    def close(self) -> None:
        """Close what is open."""
        if self._file is not None:
            self._file.close()

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise BadForm(f"the form has more than {MOST_PARTS} parts; send it in several requests")
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._check_header()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._field) + len(self._value) > _LONGEST_HEADER:
            raise BadForm("a header of a part is too long")

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        filename = options.get(b"filename")
        if filename is None:
            self._part = Part(name, None, None)
            return
        path = self._folder / f"{self._count:06d}"
        shown = filename.decode(errors="replace")[:_LONGEST_NAME]
        self._part = Part(name, shown, path)
        self._file = path.open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._look(end - start)
            self._file.write(memoryview(data)[start:end])
        elif self._part is not None:
            self._part.value += data[start:end]
            if len(self._part.value) > _LONGEST_FIELD:
                raise BadForm(f"the field {self._part.name!r} is too long")

    def _look(self, size: int) -> None:
        self._since_look += size
        if self._since_look > _LOOK_BYTES:
            self._since_look = 0
            if free_bytes(self._folder) < self._minimum_free + _LOOK_BYTES:
                raise StorageFull("the disk of the node has no room for the files")

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._part is not None:
            self._done(self._part)
        self._part = None

    def _whole(self) -> None:
        self._ended = True
