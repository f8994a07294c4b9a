"""Elements that record which of their tags are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.dicom.element_walk import Found


class RecordedReads(dict[int, tuple[bytes | None, bytes]]):
    """Tag to (VR, value), as `Found`.

    Attributes:
        tags: the tags that were read, whether they exist or not.
    """

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self.tags: set[int] = set()

    def __contains__(self, tag: object) -> bool:
        self.tags.add(tag)  # type: ignore[arg-type]
        return super().__contains__(tag)

    def __getitem__(self, tag: int) -> tuple[bytes | None, bytes]:
        self.tags.add(tag)
        return super().__getitem__(tag)

    def get(self, tag: int, default: Any = None) -> Any:
        self.tags.add(tag)
        return super().get(tag, default)

    def __iter__(self) -> Iterator[int]:
        self.tags.update(super().keys())
        return super().__iter__()

    def keys(self) -> Any:
        self.tags.update(super().keys())
        return super().keys()

    def items(self) -> Any:
        self.tags.update(super().keys())
        return super().items()
