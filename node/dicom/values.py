"""The elements of a data set, decoded on demand; absent and invalid values are None or empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from node.core.errors import MalformedDataSet
from node.dicom.element_encoding import BIG, LITTLE, NESTED, Encoding
from node.dicom.element_walk import Found, Pixels, read_level
from node.dicom.nesting import explicit_item, split_items
from node.dicom.recorded_reads import RecordedReads
from node.dicom.value_decoding import BLANK, number_of, numbers_of, text_of, texts_of, unpack, whole

NO_TAG: Final = 0
"""Result of `Elements.private` for an element that is absent; no data set has this tag."""

CHARSET: Final = 0x00080005
PIXEL_REPRESENTATION: Final = 0x00280103


@lru_cache(maxsize=4096)
def _standard_vr(tag: int) -> str:
    """Return the VR of a tag in PS3.6; UL for group lengths, UN for unknown tags."""
    if tag & 0xFFFF == 0:
        return "UL"
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


@lru_cache(maxsize=4096)
def _private_vr(tag: int, creator: str) -> str:
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"  # Private Creator itself (PS3.5 7.8.1)
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"


def is_creator(tag: int) -> bool:
    """Tell whether an element is a Private Creator, which reserves a block (PS3.5 7.8.1)."""
    return bool(tag & 0x10000) and 0x10 <= tag & 0xFFFF <= 0xFF


class TemplateCache:
    """Results for the data sets of one header template, see `node.dicom.template_cache`.

    Attributes:
        varying: tags of the elements that vary. All others are the same in all data sets, among
            them those that determine how others are read.
        results: results that depend on constant elements only.
    """

    def __init__(self, varying: frozenset[int]) -> None:
        self.varying = varying
        self.results: dict[object, Any] = {}


class Elements:
    """The elements of one data set or item by tag, decoded on demand.

    No method raises because of received values: absent and invalid values are None or empty. A `vr`
    argument is the VR of an element that may have come without one, as private elements in implicit
    VR.

    Attributes:
        pixels: where the pixel data lie, which are never kept; None if there are none.
        cache: of the header template that the data set fits; None if it fits none.
    """

    __slots__ = ("_blocks", "_charset", "_encoding", "_found", "_signed", "cache", "pixels")

    def __init__(
        self,
        found: Found,
        encoding: Encoding,
        charset: str = "",
        *,
        signed: bool = False,
        pixels: Pixels | None = None,
        cache: TemplateCache | None = None,
    ) -> None:
        self.pixels = pixels
        self.cache = cache
        self._found = found
        self._encoding = encoding
        self._charset = charset
        self._signed = signed
        self._blocks: dict[tuple[int, str], list[int]] | None = None
        if CHARSET in found:
            self._charset = found[CHARSET][1].decode("latin-1")
        if PIXEL_REPRESENTATION in found:
            self._signed = any(found[PIXEL_REPRESENTATION][1][:2])

    def __contains__(self, tag: int) -> bool:
        return tag in self._found

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def encoding(self) -> Encoding:
        """How these elements are encoded."""
        return self._encoding

    def vr(self, tag: int) -> str | None:
        """Return the two letters of an element's VR: its own, or else the dictionary's."""
        entry = self._found.get(tag)
        return None if entry is None else self._vr(tag, entry[0])

    def _vr(self, tag: int, own: bytes | None) -> str:
        if own is not None and own != b"UN":
            return "SQ" if own == NESTED else own.decode("latin-1")
        known = _private_vr(tag, self._creator(tag)) if tag >> 16 & 1 else _standard_vr(tag)
        if len(known) == 2:
            return known
        if known.startswith("US or SS"):
            return "SS" if self._signed else "US"
        return "OW" if known.endswith("OW") else "UN"

    def raw(self, tag: int) -> bytes | None:
        """Return the value field unchanged, without element header and delimiter."""
        entry = self._found.get(tag)
        return None if entry is None else entry[1]

    def value(self, tag: int) -> str | None:
        r"""Return the whole value as text, several values separated by a backslash."""
        entry = self._found.get(tag)
        if entry is None:
            return None
        vr = self._vr(tag, entry[0])
        return text_of(entry[1], vr, self._charset, self._encoding.little)

    def texts(self, tag: int) -> tuple[str, ...]:
        """Return every value as text, without padding; empty for an absent or empty element."""
        entry = self._found.get(tag)
        if entry is None:
            return ()
        vr = self._vr(tag, entry[0])
        return texts_of(entry[1], vr, self._charset, self._encoding.little)

    def text(self, tag: int) -> str | None:
        """Return the first value as text; None if there is none."""
        values = self.texts(tag)
        return values[0] or None if values else None

    def uid(self, tag: int) -> str | None:
        """Return the first UID, without its padding (PS3.5 9.1)."""
        raw = self.raw(tag)
        if not raw:
            return None
        return raw.decode("latin-1").split("\\", 1)[0].strip(BLANK) or None

    def numbers(self, tag: int, vr: str | None = None) -> tuple[float, ...]:
        """Return all values as finite numbers; empty if any of them is not.

        Args:
            tag: the element.
            vr: its VR, if it may have come without one.
        """
        entry = self._found.get(tag)
        if entry is None:
            return ()
        use = vr or self._vr(tag, entry[0])
        return numbers_of(entry[1], use, "", self._encoding.little)

    def number(self, tag: int, vr: str | None = None) -> float | None:
        """Return the first value as a finite number; None if it is not.

        Args:
            tag: the element.
            vr: its VR, if it may have come without one.
        """
        entry = self._found.get(tag)
        if entry is None:
            return None
        use = vr or self._vr(tag, entry[0])
        return number_of(entry[1], use, "", self._encoding.little)

    def integer(self, tag: int, vr: str | None = None) -> int | None:
        """Return the first value if it is a whole number, up to 2^53.

        Args:
            tag: the element.
            vr: its VR, if it may have come without one.
        """
        return whole(self.number(tag, vr))

    def tags(self, tag: int) -> tuple[int, ...]:
        """Return the values of an element of VR AT as tags."""
        raw = self.raw(tag) or b""
        words = [int(word) for word in unpack(raw, "US", little=self._encoding.little)]
        return tuple(
            group << 16 | element for group, element in zip(words[::2], words[1::2], strict=False)
        )

    def items(self, tag: int) -> tuple[Elements, ...]:
        """Return the items of a sequence, up to the first that cannot be read (PS3.5 7.5)."""
        entry = self._found.get(tag)
        if entry is None or not entry[1]:
            return ()
        own, raw = entry
        encoding = self._encoding
        if own == NESTED or (own == b"UN" and not _is_explicit(raw, encoding)):
            encoding = encoding._replace(implicit=True)
        items = []
        for content in split_items(raw, encoding):
            try:
                found = read_level(content, encoding).found
            except MalformedDataSet:
                break
            items.append(Elements(found, encoding, self._charset, signed=self._signed))
        return tuple(items)

    def item(self, tag: int) -> Elements | None:
        """Return the first item of a sequence."""
        items = self.items(tag)
        return items[0] if items else None

    def overlaid(self, others: Iterable[Elements], *, private: bool = False) -> Elements:
        """Return these elements overlaid with those of items.

        If two Private Creators reserved one block, the later one is moved to a free block, so that
        `private` finds both (PS3.5 7.8.1).

        Args:
            others: items of the same data set; elements of a later item replace earlier ones.
            private: add private elements only, and replace none.
        """
        found = dict(self._found)
        for other in others:
            moved = _moved_blocks(found, other._found)
            for tag, entry in other._found.items():
                if private and not tag & 0x10000:
                    continue
                place = _moved(tag, moved) if moved else tag
                if not private or place not in found:
                    found[place] = entry
        return Elements(found, self._encoding, self._charset, signed=self._signed)

    def recording(self) -> tuple[Elements, set[int]]:
        """Return the same elements, and a set that gets the tags which are read from them."""
        found = RecordedReads(self._found)
        copy = Elements(self._found, self._encoding, self._charset, pixels=self.pixels)
        copy._signed, copy._blocks, copy._found = self._signed, self._reserved(), found
        return copy, found.tags

    def private(self, group: int, creator: str, element: int) -> int:
        """Return the tag of a private element, in whichever block it is (PS3.5 7.8.1).

        Args:
            group: the odd group number.
            creator: Private Creator, e.g. "SIEMENS CSA HEADER"; case and padding do not count.
            element: the low byte of the element number.

        Returns:
            the tag; `NO_TAG` if the creator reserved no block, or there is no such element in it.
        """
        for block in self._reserved().get((group, creator.upper()), ()):
            tag = group << 16 | block << 8 | element
            if tag in self._found:
                return tag
        return NO_TAG

    def _reserved(self) -> dict[tuple[int, str], list[int]]:
        """Return the blocks that each Private Creator reserved, by group and creator."""
        if self._blocks is None:
            results = {} if self.cache is None else self.cache.results
            if Elements.private not in results:
                results[Elements.private] = self._reserved_blocks()
            self._blocks = results[Elements.private]
        return self._blocks

    def _reserved_blocks(self) -> dict[tuple[int, str], list[int]]:
        blocks: dict[tuple[int, str], list[int]] = {}
        for tag in self._found:
            if is_creator(tag):
                key = (tag >> 16, self._creator((tag & 0xFF) << 8 | tag & 0xFFFF0000).upper())
                blocks.setdefault(key, []).append(tag & 0xFF)
        return blocks

    def _creator(self, tag: int) -> str:
        entry = self._found.get(tag & 0xFFFF0000 | (tag >> 8 & 0xFF))
        return entry[1].decode("latin-1").strip(BLANK) if entry else ""


def _moved_blocks(found: Found, others: Found) -> dict[int, int]:
    """Return the creator elements whose block is reserved already, each with a free block."""
    moved: dict[int, int] = {}
    for tag, (_, creator) in others.items():
        if not is_creator(tag):
            continue
        group, name = tag & 0xFFFF0000, creator.strip(b" \0")
        if tag not in found or found[tag][1].strip(b" \0") == name:
            continue
        same = (
            block
            for block in range(0x10, 0x100)
            if group | block in found and found[group | block][1].strip(b" \0") == name
        )
        free = (
            block
            for block in range(0xFF, 0x0F, -1)
            if group | block not in found
            and group | block not in others
            and block not in moved.values()
        )
        block = next(same, None) or next(free, None)
        if block is not None:
            moved[tag] = block
    return moved


def _moved(tag: int, moved: dict[int, int]) -> int:
    """Return the tag of an element after its block, or the block that it reserves, was moved."""
    group, low = tag & 0xFFFF0000, tag & 0xFFFF
    if low <= 0xFF:
        return group | moved[tag] if tag in moved else tag
    block = moved.get(group | low >> 8)
    return tag if block is None else group | block << 8 | low & 0xFF


def _is_explicit(raw: bytes, encoding: Encoding) -> bool:
    return explicit_item(raw, 0, LITTLE if encoding.little else BIG)
