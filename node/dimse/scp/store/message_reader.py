"""Reads C-STORE requests from the bytes of an association, below pynetdicom's state machine.

While an association is established and no other message is under way on it, its P-DATA-TF PDUs are
parsed here (PS3.8 9.3.5, PS3.7 9.1.1). Bytes are received into one reused buffer, each piece behind
the one before, so that the fragments of a data set rarely have to be moved. A message that is no
C-STORE request is left unread, for pynetdicom. No function here reads a socket or waits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

from node.dimse.scp.store.buffer_pool import BufferPool
from node.dimse.scp.store.store_messages import CommandReader, StoreRequest
from node.dimse.upper_layer.limits import COMMAND_SET, MAXIMUM_PDU, PDU_SLACK
from node.dimse.upper_layer.pdus import DATA
from node.storage.spill import Spill

_HEADER: Final = 6  # bytes of a PDU's header, and of a presentation data value's
_BOTH_HEADERS: Final = 2 * _HEADER
_COMMAND: Final = 0x01
_LAST: Final = 0x02
_LARGE_FRAGMENT: Final = 32768  # bytes; smaller ones are moved, larger ones received one by one
_LONGEST_PDU: Final = MAXIMUM_PDU + PDU_SLACK
_COMMAND_WITH_HEADERS: Final = 4 * COMMAND_SET  # bytes of a command set with all its headers
_NOTHING: Final = memoryview(bytearray())

_read_pdu: Final = struct.Struct(">BxL").unpack_from
_read_value: Final = struct.Struct(">LBB").unpack_from
_read_pdu_and_value: Final = struct.Struct(">BxLLBB").unpack_from


class ProtocolError(Exception):
    """The peer sent bytes that the protocol does not allow here."""


class Stage(Enum):
    """How much of the next request has been read."""

    INCOMPLETE = auto()  # more bytes have to be received
    COMPLETE = auto()  # the request and its data set have been read
    OTHER_MESSAGE = auto()  # the next message is no C-STORE request


class MessageReader:
    """Reads the C-STORE requests of one association one by one. For one thread at a time.

    Args:
        contexts: ID of each accepted presentation context for which we are SCP -> its transfer
            syntax.
        buffers: where the buffer comes from.
        begin_spill: creates the file for a data set that does not fit into memory.

    Attributes:
        request: the request whose data set is being read, or has been; None between requests.
        pdus: how many PDUs have begun; it grows as long as the peer makes progress.
    """

    def __init__(
        self,
        contexts: Mapping[int, str],
        buffers: BufferPool,
        begin_spill: Callable[[StoreRequest], Spill],
    ) -> None:
        self._contexts = contexts
        self._buffers = buffers
        self._begin_spill = begin_spill
        self._buffer: memoryview | None = None  # of `buffers`
        self._view = _NOTHING
        self._start = 0  # where the data set begins in the buffer
        self._used = 0  # where the part of it that has been read ends
        self._at = 0  # where the unread bytes begin
        self._end = 0  # where they end
        self._left = 0  # unread bytes of the PDU, received or not
        self._fragment = 0  # unread bytes of the fragment, received or not
        self._last = False  # whether it is the last fragment of the data set
        self._spill: Spill | None = None
        self._command_reader = CommandReader()
        self.request: StoreRequest | None = None
        self.pdus = 0

    @property
    def pending(self) -> bool:
        """Whether bytes have been received and not been read."""
        return self._end > self._at

    @property
    def midway(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self.request is not None or self._end > self._at or self._left > 0

    @property
    def full(self) -> bool:
        """Whether the data set does not fit into memory, so that `spill_over` has to be called."""
        return self.request is not None and self._end == len(self._view) == self._buffers.most

    def room(self) -> memoryview:
        """Where the next bytes have to be received into; not empty unless `full`."""
        if self._end == len(self._view):
            self._make_room()
        if self._fragment >= _LARGE_FRAGMENT:
            return self._view[self._end : self._end + self._fragment + _BOTH_HEADERS]
        return self._view[self._end :]

    def received(self, count: int) -> Stage:
        """Read on, after `count` bytes were received into `room()`.

        Raises:
            ProtocolError, MalformedMessage: the protocol does not allow these bytes here.
        """
        self._end += count
        return self.read()

    def read(self) -> Stage:
        """Read on, as far as bytes have been received.

        Raises:
            ProtocolError, MalformedMessage: the protocol does not allow these bytes here.
        """
        if self.request is None:
            stage = self._read_command()
            if stage is not None:
                return stage
        while True:
            self._read_fragments()
            if self._fragment:
                return Stage.INCOMPLETE
            if self._last:
                return Stage.COMPLETE
            stage = self._read_headers()
            if stage is not None:
                return stage

    def spill_over(self) -> None:
        """Move the part of the data set that has been read to a file, to have room for the rest.

        Raises:
            StorageFull: the disk has no room for it.
        """
        assert self.request is not None  # noqa: S101  a command set alone never fills the memory
        if self._spill is None:
            self._spill = self._begin_spill(self.request)
        self._spill.write(self._view[self._start : self._used])
        rest = self._end - self._at
        self._view[:rest] = self._view[self._at : self._end]
        self._start = self._used = self._at = 0
        self._end = rest

    @property
    def spill(self) -> Spill | None:
        """The file that holds the data set; None if the whole data set is in memory."""
        if self._spill is not None and self._used > self._start:
            self._spill.write(self._view[self._start : self._used])
            self._start = self._used
        return self._spill

    def view(self) -> memoryview:
        """The part of the data set that is in memory."""
        return self._view[self._start : self._used]

    @contextmanager
    def data_set(self) -> Iterator[memoryview]:
        """Give the whole data set, from memory or from the file."""
        spill = self.spill
        with self.view() if spill is None else spill.data_set() as view:
            yield view

    def finish(self) -> None:
        """Forget the request: it was answered, or its data set will never be complete."""
        self.request = None
        self._last = False
        self._fragment = 0
        self._start = self._used = self._at
        if self._spill is not None:
            self._spill.close()
            self._spill = None
        if self._at == self._end:
            self._release_buffer()

    def take_unread(self) -> bytes:
        """Hand over the bytes that were received and belong to no C-STORE request, as PDUs."""
        begun = struct.pack(">BxL", DATA, self._left) if self._left else b""
        unread = begun + self._view[self._at : self._end]
        self._left = 0
        self._at = self._end
        self.finish()
        return unread

    def _release_buffer(self) -> None:
        self._start = self._used = self._at = self._end = 0
        if self._buffer is not None:
            self._view = _NOTHING
            self._buffers.give_back(self._buffer)
            self._buffer = None

    def _make_room(self) -> None:
        """Take a buffer, or a larger one, or close the gap between data set and unread bytes."""
        if self._buffer is None:
            self._view = self._buffer = self._buffers.take()
            return
        outgrown, before = None, self._view
        if len(before) < self._buffers.most:
            outgrown, self._buffer = self._buffer, self._buffers.larger(before)
        self._view = self._buffer
        size, rest = self._used - self._start, self._end - self._at
        self._view[:size] = before[self._start : self._used]
        self._view[size : size + rest] = before[self._at : self._end]
        self._start, self._used, self._at, self._end = 0, size, size, size + rest
        if outgrown is not None:
            self._buffers.give_back(outgrown)

    def _read_fragments(self) -> None:
        """Read the fragment as far as it has been received, and the fragments behind it as long as
        each is alone in its PDU, as usual."""
        view, at, end, used = self._view, self._at, self._end, self._used
        size, last = self._fragment, self._last
        others = self._left - size  # bytes of further fragments in its PDU
        while True:
            count = min(size, end - at)
            if count and at != used:
                view[used : used + count] = view[at : at + count]
            used += count
            at += count
            size -= count
            if size or last or others or end - at < _BOTH_HEADERS:
                break
            following = _single_value(view, at)
            if following is None:
                break  # `_read_headers` handles it
            length, context_id, flags = following
            if flags & _COMMAND or self.request is None or context_id != self.request.context_id:
                break
            at += _BOTH_HEADERS
            size = length
            last = bool(flags & _LAST)
            self.pdus += 1
        if at == end:
            at = end = used
        self._at, self._end, self._used = at, end, used
        self._fragment, self._last, self._left = size, last, size + others

    def _read_headers(self) -> Stage | None:
        """Read the headers of the next fragment and its PDU; None once they have been read."""
        if not self._left:
            if self._end - self._at < _HEADER:
                return Stage.INCOMPLETE
            kind, length = _pdu_header(self._view, self._at)
            if kind != DATA:
                return Stage.OTHER_MESSAGE
            self._at += _HEADER
            self._left = length
            self.pdus += 1
        if self._end - self._at < _HEADER:
            return Stage.INCOMPLETE
        size, context_id, flags = _value_header(self._view, self._at, self._left)
        if flags & _COMMAND or self.request is None or context_id != self.request.context_id:
            raise ProtocolError
        self._at += _HEADER
        self._left -= _HEADER
        self._fragment = size
        self._last = bool(flags & _LAST)
        return None

    def _read_command(self) -> Stage | None:
        """Read the next command set, in however many fragments and PDUs it was sent; None once it
        is a C-STORE request. Until then all of its bytes count as unread."""
        view, at, end, left = self._view, self._at, self._end, self._left
        if (
            not left
            and end - at > _BOTH_HEADERS
            and (single := _single_value(view, at)) is not None
        ):
            size, context_id, flags = single  # as usual
            behind = at + _BOTH_HEADERS + size
            if flags == _COMMAND | _LAST and size <= COMMAND_SET and behind <= end:
                return self._begin_request(
                    bytes(view[at + _BOTH_HEADERS : behind]), context_id, behind, 0
                )
        command = b""
        while True:
            if not left:
                if end - at < _HEADER:
                    return Stage.INCOMPLETE
                kind, left = _pdu_header(view, at)
                if kind != DATA:
                    return Stage.OTHER_MESSAGE
                at += _HEADER
            if end - at < _HEADER:
                return Stage.INCOMPLETE
            size, context_id, flags = _value_header(view, at, left)
            at += _HEADER
            if (
                not flags & _COMMAND
                or len(command) + size > COMMAND_SET
                or at + size - self._at > _COMMAND_WITH_HEADERS
            ):
                raise ProtocolError
            if end - at < size:
                return Stage.INCOMPLETE
            command += view[at : at + size]
            at += size
            left -= _HEADER + size
            if flags & _LAST:
                break
        return self._begin_request(command, context_id, at, left)

    def _begin_request(self, encoded: bytes, context_id: int, at: int, left: int) -> Stage | None:
        command = self._command_reader.read(encoded)
        if command is None:
            return Stage.OTHER_MESSAGE
        syntax = self._contexts.get(context_id)
        if command.message_id is None or syntax is None:
            raise ProtocolError
        self.request = StoreRequest(
            context_id, command.message_id, command.sop_class_uid, command.sop_instance_uid, syntax
        )
        self.pdus += 1
        self._start = self._used = self._at = at
        self._left = left
        self._fragment = 0
        self._last = False
        return None


def _pdu_header(data: memoryview, at: int) -> tuple[int, int]:
    kind, length = _read_pdu(data, at)
    if kind == DATA and not _HEADER <= length <= _LONGEST_PDU:
        raise ProtocolError
    return kind, length


def _single_value(data: memoryview, at: int) -> tuple[int, int, int] | None:
    """Length, context ID and flags of the presentation data value at `at`, if it is alone in its
    PDU; None if it is not, or if one of the headers is wrong."""
    kind, length, value, context_id, flags = _read_pdu_and_value(data, at)
    if kind != DATA or not _HEADER <= length <= _LONGEST_PDU or value != length - 4:
        return None
    return length - _HEADER, context_id, flags


def _value_header(data: memoryview, at: int, left: int) -> tuple[int, int, int]:
    if left < _HEADER:
        raise ProtocolError
    length, context_id, flags = _read_value(data, at)
    if not 2 <= length <= left - 4:
        raise ProtocolError
    return length - 2, context_id, flags
