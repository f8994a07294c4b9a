"""Roles of the page and the API, and how a route states the one that it asks for.

Every route states its role: `@api.get("/node", openapi_extra=role("viewer"))`. OpenAPI shows it as
`x-rasnode-role`, and the node lets in by what is stated there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from starlette.requests import Request

OF_ROUTE: Final = "x-rasnode-role"
OF_REQUEST: Final = "rasnode.identity"


class Role(StrEnum):
    """What somebody may do; each role may also do what the ones before it may.

    Attributes:
        PUBLIC: nobody has to log in for it.
        VIEWER: sees and downloads.
        OPERATOR: also assembles again, holds, releases, fetches, uploads and delivers again.
        ADMIN: also users, the settings in effect and the log.
    """

    PUBLIC = "public"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this role may do what another one may."""
        return _ORDER.index(self) >= _ORDER.index(other)


_ORDER: Final = tuple(Role)


def role(name: Role | str) -> dict[str, Any]:
    """The `openapi_extra` of a route that asks for a role.

    Args:
        name: public, viewer, operator or admin.

    Raises:
        ValueError: there is no such role.
    """
    return {OF_ROUTE: Role(name).value}


def role_of(route: object) -> Role | None:
    """The role that a route states; None: it states none.

    Args:
        route: of the application.
    """
    stated = (getattr(route, "openapi_extra", None) or {}).get(OF_ROUTE)
    return None if stated is None else Role(stated)


class Way(StrEnum):
    """How the node knows who sent a request."""

    NONE = "none"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105
    PROXY = "proxy"


@dataclass(frozen=True)
class Identity:
    """Who sent a request.

    Attributes:
        name: of the user, or of the owner of the token; empty: nobody has logged in.
        role: what they may do.
        identifiers: whether they may see names, IDs and dates of birth of patients: whom
            `http.auth` lets in.
        way: how the node knows them.
        csrf: what changing requests of a browser have in `X-CSRF-Token`; empty: not needed.
    """

    name: str = ""
    role: Role = Role.VIEWER
    identifiers: bool = False
    way: Way = Way.NONE
    csrf: str = ""


def identity_of(request: Request) -> Identity:
    """Who sent a request.

    Args:
        request: as a route gets it.
    """
    found = request.scope.get(OF_REQUEST)
    return found if isinstance(found, Identity) else Identity()
