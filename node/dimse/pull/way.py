"""Whether a peer is fetched from by C-MOVE or by C-GET, and how that is found out."""

from __future__ import annotations

from collections.abc import Callable


class Way:
    """Whether a peer is asked to move or to get.

    Args:
        wanted: auto, move or get.
        known: what was found out before; None: nothing.
        found: told of what is found out.
    """

    def __init__(self, wanted: str, known: str | None, found: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._found = found
        self._known = known
        self._noted = known
        self._changed = self._is_exception = False

    @property
    def by(self) -> str:
        """How to ask now."""
        return self._wanted if self._wanted != "auto" else self._known or "move"

    def works(self) -> None:
        """The peer did as it was asked."""
        if self._wanted == "auto" and self._noted != self.by and not self._is_exception:
            self._noted = self.by
            self._found(self.by)

    def other(self, *, once: bool) -> bool:
        """Ask the other way, if that is left to us and has not been tried.

        Args:
            once: it is these instances that the peer does not send this way, not all.
        """
        if self._wanted != "auto" or self._changed:
            return False
        self._changed, self._is_exception = True, once
        self._known = "get" if self.by == "move" else "move"
        return True
