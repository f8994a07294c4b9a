"""Unique file names within one run: no file of a volume gets the name of another one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, count

from node.convert.naming.bids import repeated
from node.core.output_names import ENDINGS, folded


class FileNames:
    """The names of a run, compared as SMB, APFS and NTFS do."""

    def __init__(self, exists: Callable[[str], bool] = lambda _: False) -> None:
        """Start without names.

        Args:
            exists: tells whether a file of this name, folded, exists already and must stay.
        """
        self._exists = exists
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._owners: dict[str, str] = {}

    def stem(self, name: str, series: str) -> str:
        """Return a name for the volumes of a series that no other series has.

        Args:
            name: without the suffixes of volumes; a run or letter is added if it is taken.
            series: Series Instance UID, which always gets the same name.
        """
        names = (repeated(name, times) for times in count())
        return next(one for one in names if self._owners.setdefault(folded(one), series) == series)

    def take(self, name: str) -> str:
        """Return a name whose files do not exist yet; a run or letter is added if it is taken.

        Args:
            name: of a volume, without extension.
        """
        free = next(one for times in count() if self._is_free(one := repeated(name, times)))
        self._files.update(folded(free + ending) for ending in ENDINGS)
        self._folders.update(_folders(folded(free)))
        return free

    def _is_free(self, name: str) -> bool:
        files = {folded(name + ending) for ending in ENDINGS}
        return (
            self._files.isdisjoint(files)
            and self._folders.isdisjoint(files)
            and self._files.isdisjoint(_folders(folded(name)))
            and not any(map(self._exists, files))
        )


def _folders(name: str) -> list[str]:
    """Return every folder above a name."""
    return list(accumulate(name.split("/")[:-1], lambda above, below: f"{above}/{below}"))
