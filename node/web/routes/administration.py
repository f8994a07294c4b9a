"""`/api/users`, `/api/settings` and `/api/log`: what administrators see and change."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from node.core.errors import ConfigError
from node.core.logs import FIELDS
from node.storage.access.accounts import Account, AccountRefused, checked_name
from node.storage.access.issuing import LONGEST_PASSWORD, MOST_DAYS
from node.web.roles import Role, identity_of, role
from node.web.routes.list_parameters import Limit
from node.web.site import Site

_Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_UserName = Annotated[
    str, Path(min_length=1, max_length=64, description="Of the user or the program.")
]


class GivenRole(StrEnum):
    """A role that users and tokens may have."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Level(StrEnum):
    """How grave a record of the log is."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class TokenView(BaseModel):
    """A token, which itself cannot be read any more."""

    role: Role
    ends_at: float | None = Field(
        description="Seconds since 1970, UTC; null: it does not end by itself."
    )


class UserView(BaseModel):
    """A name that may log in, or that has tokens or sessions."""

    name: str
    role: Role | None = Field(description="null: it has no password, and cannot log in by one.")
    tokens: list[TokenView]
    sessions: int = Field(description="How many are open.")


class NewUser(BaseModel):
    """A user to be added."""

    model_config = ConfigDict(extra="forbid")

    name: _Name
    role: GivenRole = GivenRole.VIEWER
    password: Annotated[str, StringConstraints(max_length=LONGEST_PASSWORD)]


class NewToken(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    role: GivenRole = GivenRole.VIEWER
    days: Annotated[float, Field(gt=0, le=MOST_DAYS)] | None = Field(
        default=None, description="After which it ends; null: it does not end by itself."
    )


class IssuedToken(BaseModel):
    """A new token; it is shown once."""

    token: str


class SettingsView(BaseModel):
    """The settings in effect; secrets are ***."""

    file: str = Field(description="Of the configuration.")
    settings: dict[str, Any]
    sources: dict[str, str] = Field(
        description="Where each value comes from, by its key, written with dots."
    )


class LogRecord(BaseModel):
    """A record of the log."""

    time: str = Field(description="ISO 8601, UTC.")
    level: str
    logger: str
    message: str
    fields: dict[str, Any] = Field(description="Such as association, peer, series or user.")
    exception: str = Field(description="Empty: none.")


_WRONG: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "The name is taken, or it may not be."}
}


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: of the node.
    """
    _add_users(api, site)

    @api.get("/settings", openapi_extra=role("admin"))
    def settings() -> SettingsView:
        """The settings in effect with their sources, as `rasnode check-config` prints them."""
        file, values, sources = site.must_administer().settings()
        return SettingsView(file=file, settings=values, sources=sources)

    @api.get("/log", openapi_extra=role("admin"))
    def log(
        level: Annotated[Level, Query(description="This one and graver ones.")] = Level.INFO,
        search: Annotated[str, Query(max_length=200)] = "",
        limit: Limit = 200,
    ) -> list[LogRecord]:
        """The newest records of the log, the newest first; the node keeps some 8 MiB of them."""
        return [_record(one) for one in site.must_administer().log(limit, level, search)]


def _add_users(api: APIRouter, site: Site) -> None:
    @api.get("/users", openapi_extra=role("admin"))
    def users() -> list[UserView]:
        """All names that have a password, a token or a session."""
        return [_user(one) for one in site.must_administer().users()]

    @api.post("/users", status_code=201, responses=_WRONG, openapi_extra=role("admin"))
    def add_user(request: Request, new: NewUser) -> UserView:
        """Add a user who logs in with a password; needs `http.auth.local`."""
        administration = site.must_administer()
        try:
            name = checked_name(new.name)
            administration.add(identity_of(request).name, name, new.role, new.password)
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
        except AccountRefused as error:
            raise HTTPException(409, str(error)) from error
        return UserView(name=name, role=Role(new.role), tokens=[], sessions=0)

    @api.delete("/users/{name}", status_code=204, responses=_WRONG, openapi_extra=role("admin"))
    def remove_user(request: Request, name: _UserName) -> Response:
        """Remove a user, and end all tokens and sessions of the name at once."""
        administration, admin = site.must_administer(), identity_of(request).name
        name = _name(name)
        if name == admin:
            raise HTTPException(
                409, "you would lock yourself out; let another administrator remove you"
            )
        try:
            administration.remove(admin, name)
        except AccountRefused as error:
            raise HTTPException(404, str(error)) from error
        return Response(status_code=204)

    @api.post(
        "/users/{name}/tokens", status_code=201, responses=_WRONG, openapi_extra=role("admin")
    )
    def issue_token(request: Request, name: _UserName, new: NewToken) -> IssuedToken:
        """Make a token for a program: Authorization: Bearer TOKEN. It is shown once."""
        administration, admin = site.must_administer(), identity_of(request).name
        try:
            made = administration.issue(admin, _name(name), new.role, new.days)
        except AccountRefused as error:
            raise HTTPException(409, str(error)) from error
        return IssuedToken(token=made)


def _name(text: str) -> str:
    try:
        return checked_name(text)
    except ConfigError as error:
        raise HTTPException(422, str(error)) from error


def _user(one: Account) -> UserView:
    return UserView(
        name=one.name,
        role=None if one.role is None else Role(one.role),
        tokens=[
            TokenView(role=Role(each), ends_at=ends)
            for each, ends in zip(one.token_roles, one.token_ends, strict=True)
        ],
        sessions=one.sessions,
    )


def _record(found: dict[str, Any]) -> LogRecord:
    return LogRecord(
        time=str(found["time"]),
        level=str(found["level"]),
        logger=str(found["logger"]),
        message=str(found["message"]),
        fields={name: found[name] for name in FIELDS if name in found},
        exception=str(found.get("exception", "")),
    )
