"""Computes hashes of large data sets in another thread while the ingester reads headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Final

from node.dicom import Buffer
from node.storage.integrity import sha256_of

_LARGE: Final = 64 << 10  # bytes; for smaller ones a thread costs more than it saves


class Hashing:
    """SHA-256 in hexadecimal digits, for one thread, with a helper thread.

    The helper keeps the priority that the maker of this object has when it makes it.
    """

    def __init__(self) -> None:
        self._helper = ThreadPoolExecutor(1, "sha256")
        self._helper.submit(int)  # starts the thread

    @contextmanager
    def ahead(self, data_sets: Sequence[Buffer]) -> Iterator[list[Callable[[], str]]]:
        """Begin to hash data sets; until the block ends they must not change.

        Args:
            data_sets: the data sets.

        Yields:
            For each a function that returns its hash, to be called in any order.
        """
        begun: list[Future[str]] = []
        hashes: list[Callable[[], str]] = []
        try:
            for data_set in data_sets:
                hashed = partial(sha256_of, data_set)
                # The first hash is needed at once.
                if hashes and len(data_set) >= _LARGE:
                    begun.append(self._helper.submit(hashed))
                    hashed = partial(_result, begun[-1], hashed)
                hashes.append(hashed)
            yield hashes
        finally:
            wait([one for one in begun if not one.cancel()])


def _result(future: Future[str], hashed: Callable[[], str]) -> str:
    """The helper's result; computed here if the helper has not begun with it."""
    return hashed() if future.cancel() else future.result()
