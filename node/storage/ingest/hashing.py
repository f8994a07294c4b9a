"""Hashes of large data sets, made on another processor while the one before is being ingested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Final

from node.dicom import Buffer
from node.storage.integrity import sha256_of

_LARGE: Final = 64 << 10  # bytes; of smaller ones the hash is there sooner than another thread


class Hashing:
    """SHA-256 as hexadecimal digits. For one thread, which another one helps.

    The helper is as urgent as its maker is when it makes this, whatever becomes of that.
    """

    def __init__(self) -> None:
        self._helper = ThreadPoolExecutor(1, "sha256")
        self._helper.submit(int)  # from here on it is there

    @contextmanager
    def ahead(self, data_sets: Sequence[Buffer]) -> Iterator[list[Callable[[], str]]]:
        """Begin with the hashes of data sets; of each what returns it, in any order.

        At the end of the block nobody looks at the data sets any more.
        """
        begun: list[Future[str]] = []
        hashes: list[Callable[[], str]] = []
        try:
            for data_set in data_sets:
                hashed = partial(sha256_of, data_set)
                # The first one is wanted at once.
                if hashes and len(data_set) >= _LARGE:
                    begun.append(self._helper.submit(hashed))
                    hashed = partial(_result, begun[-1], hashed)
                hashes.append(hashed)
            yield hashes
        finally:
            wait([one for one in begun if not one.cancel()])


def _result(future: Future[str], hashed: Callable[[], str]) -> str:
    """What the helper has found, or is about to; it may not have come to it yet."""
    return hashed() if future.cancel() else future.result()
