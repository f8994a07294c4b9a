"""Encodes a stored instance for a peer: unchanged, or in a transfer syntax that it accepts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.dsutils import encode

from node.core.errors import Permanent
from node.storage.archive import Archive, file_meta
from node.storage.index.search.search import Sendable
from node.storage.integrity import Damage, Expected, check_quickly, read_part

CHUNK: Final = 262144  # bytes read at once
FALLBACKS: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""The transfer syntaxes that an instance can be converted to."""
_IN_MEMORY: Final = 4 << 20
"""Bytes of a data set that is read once; a larger one is read to be checked, then to be sent."""
_CONVERTIBLE: Final = 1 << 30  # bytes; a larger file is not read into memory

_validation = threading.Lock()


class CannotSend(Permanent):
    """An instance that cannot be sent to this peer, or cannot be read."""


class Damaged(CannotSend):
    """An instance whose file is not what was received, or is missing."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What goes into a C-STORE request.

    Attributes:
        context_id: of the presentation context to send it in.
        length: bytes of the data set.
        chunks: the data set in pieces; can be read once.
    """

    context_id: int
    length: int
    chunks: Iterator[bytes]


def payload(archive: Archive, instance: Sendable, contexts: Mapping[str, int]) -> Payload:
    """Encode an instance for a peer: unchanged if the peer accepts its transfer syntax.

    Args:
        archive: where its file is.
        instance: to be sent.
        contexts: transfer syntax -> ID of the accepted presentation context of its SOP class.

    Raises:
        CannotSend: the peer accepts no transfer syntax that it can be encoded in, or its file
            cannot be read.
        Damaged: its file is not what was received, so that no byte of it may be sent.
    """
    stored = contexts.get(instance.transfer_syntax_uid)
    try:
        if stored is not None:
            return _as_it_is(archive, instance, stored)
        if not contexts:
            raise CannotSend(f"the peer does not accept SOP class {instance.sop_class_uid}")
        wanted = next((uid for uid in FALLBACKS if uid in contexts), None)
        if wanted is None:
            name = UID(instance.transfer_syntax_uid).name
            raise CannotSend(f"the peer accepts neither {name} nor an uncompressed transfer syntax")
        data = _converted(archive, instance, UID(wanted))
    except Damage as error:
        raise Damaged(str(error)) from error
    except OSError as error:
        raise CannotSend(f"its file cannot be read: {error.strerror}") from error
    return Payload(contexts[wanted], len(data), iter([data]))


def _as_it_is(archive: Archive, instance: Sendable, context_id: int) -> Payload:
    """The data set as it was received. It is checked as a whole before the first byte is sent."""
    path, expected = archive.path(instance.path), _expected(instance)
    length = instance.size - instance.data_set_offset
    if length <= _IN_MEMORY:
        data = read_part(path, expected, 0)
        return Payload(context_id, len(data), iter([data]))
    chunks = _streamed(path, expected)
    next(chunks)  # checks the file, and leaves it open
    return Payload(context_id, length, chunks)


def _streamed(path: Path, expected: Expected) -> Iterator[bytes]:
    """Yield an empty piece once the file has been checked, and then the data set."""
    with path.open("rb", buffering=0) as file:
        check_quickly(file.fileno(), expected)
        yield b""
        file.seek(expected.offset)
        while chunk := file.read(CHUNK):
            yield chunk


def _expected(instance: Sendable) -> Expected:
    return Expected(instance.sha256, instance.data_set_offset, instance.crc32, instance.size)


def _converted(archive: Archive, instance: Sendable, wanted: UID) -> bytes:
    """Convert an instance to an uncompressed transfer syntax (PS3.5 A.4; PS3.4 C.4.2.3.1)."""
    if instance.size > _CONVERTIBLE:
        raise CannotSend("it is too large to be decompressed")
    stored = UID(instance.transfer_syntax_uid)
    # The file meta information is written anew: the check of the file does not include it.
    meta = file_meta(instance.sop_class_uid, instance.sop_instance_uid, str(stored))
    data = read_part(archive.path(instance.path), _expected(instance), 0)
    try:
        data_set = dcmread(BytesIO(meta + data))
        if stored.is_compressed and stored != DeflatedExplicitVRLittleEndian:
            data_set.decompress(generate_instance_uid=False)
        elif stored == ExplicitVRBigEndian:
            data_set.walk(_swap_words)
        with _validation, config.disable_value_validation():
            encoded = encode(data_set, wanted.is_implicit_VR, is_little_endian=True)
    except Exception as error:
        # The decoders of several libraries raise exceptions of their own, whose texts may quote the
        # data set.
        raise CannotSend(
            f"it cannot be converted to {wanted.name} ({type(error).__name__})"
        ) from error
    if encoded is None:
        raise CannotSend(f"it cannot be encoded as {wanted.name}")
    return bytes(encoded)


def _swap_words(_data_set: Dataset, element: object) -> None:
    """Swap the bytes of VR OW, which pydicom leaves in the byte order of the file."""
    if getattr(element, "VR", "") == "OW" and getattr(element, "value", None):
        words = np.frombuffer(element.value, dtype=">u2")  # type: ignore[attr-defined]
        element.value = words.astype("<u2").tobytes()  # type: ignore[attr-defined]
