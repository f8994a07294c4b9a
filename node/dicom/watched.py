"""Elements that remember which of them somebody asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.dicom.element_walk import Found


class Watched(dict[int, tuple[bytes | None, bytes]]):
    """Tag to (VR, value).

    Attributes:
        asked: the tags that somebody asked for, there or not.
    """

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self.asked: set[int] = set()

    def __contains__(self, tag: object) -> bool:
        self.asked.add(tag)  # type: ignore[arg-type]
        return super().__contains__(tag)

    def __getitem__(self, tag: int) -> tuple[bytes | None, bytes]:
        self.asked.add(tag)
        return super().__getitem__(tag)

    def get(self, tag: int, default: Any = None) -> Any:
        self.asked.add(tag)
        return super().get(tag, default)

    def __iter__(self) -> Iterator[int]:
        self.asked.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self.asked.update(super().keys())
        return super().keys()

    def items(self) -> Any:
        self.asked.update(super().keys())
        return super().items()
