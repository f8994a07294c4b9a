"""The types of columns that both databases treat alike."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from sqlalchemy import BigInteger, Dialect, Integer, String
from sqlalchemy.types import TypeDecorator

BYTEWISE: Final = String().with_variant(String(collation="C"), "postgresql")
"""Text that every database compares byte by byte, so that a prefix is a range."""
BIG_KEY: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by INTEGER only."""
LONGEST_INDEXED: Final = 200
"""Characters. PostgreSQL takes no row of more than 2,704 bytes into an index, which three texts of
four bytes a character have to fit into; DICOM allows 64 characters in a text, and in each group of
a name (PS3.5 6.2)."""
_DIGEST: Final = 64


def indexed(text: str) -> str:
    """A text as an indexed column keeps it: its end is a digest if it is too long.

    So different texts stay different, and each can be found by its beginning.

    Args:
        text: as it was received; the attributes of the row have it whole.
    """
    if len(text) <= LONGEST_INDEXED:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{text[: LONGEST_INDEXED - _DIGEST - 1]}~{digest}"


class Indexed(TypeDecorator[str]):
    """Received text that an index has, stored and compared as `indexed` returns it.

    Args:
        bytewise: whether it is compared byte by byte.
    """

    impl = String
    cache_ok = True

    def __init__(self, *, bytewise: bool = True) -> None:
        super().__init__()
        self.bytewise = bytewise

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """The type in a database."""
        own = BYTEWISE if self.bytewise else String()
        return own.dialect_impl(dialect)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """A value that is stored, or that the column is compared with."""
        return None if value is None else indexed(value)
