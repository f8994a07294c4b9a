"""C-STORE requests as they arrive, in whatever pieces, below pynetdicom's state machine.

While an association is established and nothing else is under way on it, its P-DATA-TF PDUs are
taken apart here (PS3.8 9.3.5, PS3.7 9.1.1): what comes is received into one reused buffer, behind
what came before, so that fragments of a data set mostly lie where they belong. Whatever is not a
C-STORE request stays as it came, for pynetdicom. Nothing here reads a socket or waits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

from node.dimse.scp.store.buffer_pool import BufferPool
from node.dimse.scp.store.requests import RequestReader, StoreRequest
from node.dimse.upper_layer.limits import COMMAND_SET, MAXIMUM_PDU, PDU_SLACK
from node.dimse.upper_layer.pdus import DATA
from node.storage.spill import Spill

_HEADER: Final = 6  # bytes of a PDU's header, and of a presentation data value's
_HEADERS: Final = 2 * _HEADER
_COMMAND: Final = 0x01
_LAST: Final = 0x02
_LARGE_FRAGMENT: Final = 32768  # bytes; smaller ones are moved, larger ones received one by one
_LONGEST_PDU: Final = MAXIMUM_PDU + PDU_SLACK
_COMMAND_ON_WIRE: Final = 4 * COMMAND_SET  # bytes that a command set may take with its headers
_NOTHING: Final = memoryview(bytearray())

_read_pdu: Final = struct.Struct(">BxL").unpack_from
_read_value: Final = struct.Struct(">LBB").unpack_from
_read_pdu_and_value: Final = struct.Struct(">BxLLBB").unpack_from


class ProtocolError(Exception):
    """What came cannot come here."""


class Stage(Enum):
    """How far the next request has come."""

    MORE = auto()  # it is not whole yet
    WHOLE = auto()  # it is whole, with its data set
    OTHER = auto()  # what comes next is no C-STORE request


class Arrival:
    """The C-STORE requests of one association, one after the other. For one thread at a time.

    Args:
        contexts: ID of each accepted context in which we store -> its transfer syntax.
        begin_spill: begins the file for a data set that does not fit into memory.

    Attributes:
        request: the one whose data set is coming, or has come; None between requests.
        pdus: how many have begun, which tells whether the peer goes on.
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
        self._start = 0  # the data set is from here
        self._used = 0  # to here
        self._at = 0  # and from here
        self._end = 0  # to here is what has come and was not looked at
        self._left = 0  # bytes of the PDU that come behind `at`
        self._fragment = 0  # bytes of the fragment that come behind `at`
        self._last = False
        self._spill: Spill | None = None
        self._reader = RequestReader()
        self.request: StoreRequest | None = None
        self.pdus = 0

    @property
    def pending(self) -> bool:
        """Whether there are bytes that nobody has looked at."""
        return self._end > self._at

    @property
    def midway(self) -> bool:
        """Whether something has begun that is not at its end."""
        return self.request is not None or self._end > self._at or self._left > 0

    @property
    def full(self) -> bool:
        """Whether the data set has outgrown the memory: it takes `spill_over` to go on."""
        return self.request is not None and self._end == len(self._view) == self._buffers.most

    def room(self) -> memoryview:
        """Where the next bytes have to be put; not empty unless `full`."""
        if self._end == len(self._view):
            self._make_room()
        if self._fragment >= _LARGE_FRAGMENT:
            return self._view[self._end : self._end + self._fragment + _HEADERS]
        return self._view[self._end :]

    def came(self, count: int) -> Stage:
        """So many bytes were put there.

        Raises:
            ProtocolError, MalformedMessage: they cannot come here.
        """
        self._end += count
        return self.advance()

    def advance(self) -> Stage:
        """Look at what has come.

        Raises:
            ProtocolError, MalformedMessage: it cannot come here.
        """
        if self.request is None:
            stage = self._read_command()
            if stage is not None:
                return stage
        while True:
            self._take()
            if self._fragment:
                return Stage.MORE
            if self._last:
                return Stage.WHOLE
            stage = self._read_headers()
            if stage is not None:
                return stage

    def spill_over(self) -> None:
        """Continue in a file.

        Raises:
            StorageFull: there is no room for it.
        """
        assert self.request is not None  # noqa: S101  a command alone never fills the memory
        if self._spill is None:
            self._spill = self._begin_spill(self.request)
        self._spill.write(self._view[self._start : self._used])
        rest = self._end - self._at
        self._view[:rest] = self._view[self._at : self._end]
        self._start = self._used = self._at = 0
        self._end = rest

    @property
    def spill(self) -> Spill | None:
        """The file that holds the whole data set; None if it is in memory."""
        if self._spill is not None and self._used > self._start:
            self._spill.write(self._view[self._start : self._used])
            self._start = self._used
        return self._spill

    def view(self) -> memoryview:
        """The data set, as far as it is in memory."""
        return self._view[self._start : self._used]

    @contextmanager
    def data_set(self) -> Iterator[memoryview]:
        """The whole data set."""
        spill = self.spill
        with self.view() if spill is None else spill.data_set() as view:
            yield view

    def finish(self) -> None:
        """The request was answered, or its data set will never be whole."""
        self.request = None
        self._last = False
        self._fragment = 0
        self._start = self._used = self._at
        if self._spill is not None:
            self._spill.close()
            self._spill = None
        if self._at == self._end:
            self._let_go()

    def rest(self) -> bytes:
        """What has come and belongs to no request, for somebody else to read."""
        begun = struct.pack(">BxL", DATA, self._left) if self._left else b""
        rest = begun + self._view[self._at : self._end]
        self._left = 0
        self._at = self._end
        self.finish()
        return rest

    def _let_go(self) -> None:
        self._start = self._used = self._at = self._end = 0
        if self._buffer is not None:
            self._view = _NOTHING
            self._buffers.give(self._buffer)
            self._buffer = None

    def _make_room(self) -> None:
        """A buffer, a larger one, or this one without what lies between data set and rest."""
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
            self._buffers.give(outgrown)

    def _take(self) -> None:
        """What has come of the fragment, and of those behind it if each has a PDU, as is usual."""
        view, at, end, used = self._view, self._at, self._end, self._used
        size, last = self._fragment, self._last
        others = self._left - size  # bytes of other fragments in its PDU
        while True:
            count = min(size, end - at)
            if count and at != used:
                view[used : used + count] = view[at : at + count]
            used += count
            at += count
            size -= count
            if size or last or others or end - at < _HEADERS:
                break
            following = _lone_value(view, at)
            if following is None:
                break  # `_read_headers` knows what to make of it
            length, context_id, flags = following
            if flags & _COMMAND or self.request is None or context_id != self.request.context_id:
                break
            at += _HEADERS
            size = length
            last = bool(flags & _LAST)
            self.pdus += 1
        if at == end:
            at = end = used
        self._at, self._end, self._used = at, end, used
        self._fragment, self._last, self._left = size, last, size + others

    def _read_headers(self) -> Stage | None:
        """Of the next fragment, and of the PDU that it is in; None once they have been read."""
        if not self._left:
            if self._end - self._at < _HEADER:
                return Stage.MORE
            kind, length = _pdu_header(self._view, self._at)
            if kind != DATA:
                return Stage.OTHER
            self._at += _HEADER
            self._left = length
            self.pdus += 1
        if self._end - self._at < _HEADER:
            return Stage.MORE
        size, context_id, flags = _value_header(self._view, self._at, self._left)
        if flags & _COMMAND or self.request is None or context_id != self.request.context_id:
            raise ProtocolError
        self._at += _HEADER
        self._left -= _HEADER
        self._fragment = size
        self._last = bool(flags & _LAST)
        return None

    def _read_command(self) -> Stage | None:
        """The next command set, however it is cut into fragments and PDUs; None once it is a
        C-STORE request. Before that nothing of it counts as looked at."""
        view, at, end, left = self._view, self._at, self._end, self._left
        if not left and end - at > _HEADERS and (lone := _lone_value(view, at)) is not None:
            size, context_id, flags = lone  # as is usual
            behind = at + _HEADERS + size
            if flags == _COMMAND | _LAST and size <= COMMAND_SET and behind <= end:
                return self._begin(bytes(view[at + _HEADERS : behind]), context_id, behind, 0)
        command = b""
        while True:
            if not left:
                if end - at < _HEADER:
                    return Stage.MORE
                kind, left = _pdu_header(view, at)
                if kind != DATA:
                    return Stage.OTHER
                at += _HEADER
            if end - at < _HEADER:
                return Stage.MORE
            size, context_id, flags = _value_header(view, at, left)
            at += _HEADER
            if (
                not flags & _COMMAND
                or len(command) + size > COMMAND_SET
                or at + size - self._at > _COMMAND_ON_WIRE
            ):
                raise ProtocolError
            if end - at < size:
                return Stage.MORE
            command += view[at : at + size]
            at += size
            left -= _HEADER + size
            if flags & _LAST:
                break
        return self._begin(command, context_id, at, left)

    def _begin(self, encoded: bytes, context_id: int, at: int, left: int) -> Stage | None:
        said = self._reader.read(encoded)
        if said is None:
            return Stage.OTHER
        syntax = self._contexts.get(context_id)
        if said.message_id is None or syntax is None:
            raise ProtocolError
        self.request = StoreRequest(
            context_id, said.message_id, said.sop_class_uid, said.sop_instance_uid, syntax
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


def _lone_value(data: memoryview, at: int) -> tuple[int, int, int] | None:
    """What `_value_header` says of the value in the PDU at `at`, if it is alone in there; None if
    it is not, or anything about the two is wrong."""
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
