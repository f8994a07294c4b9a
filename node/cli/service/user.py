"""`user`: who may use the page and the API."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from typing import Annotated

import typer

from node.cli.context import ConfigOption, JsonOption
from node.cli.output.terminal import say
from node.cli.service.passcode import read_secret
from node.core.settings.file import load_settings
from node.storage.access.accounts import Accounts, checked_name
from node.storage.access.issuing import add_user, issue_token

user = typer.Typer(
    help="Say who may use page and API: add, remove, list, token.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class RoleOption(StrEnum):
    """A role that users and tokens may have."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


Name = Annotated[str, typer.Argument(help="Name of the user, or of the program.")]
RoleName = Annotated[
    RoleOption,
    typer.Option(
        help="viewer: sees and downloads; operator: also assembles again, holds, fetches, uploads "
        "and delivers; admin: also users, settings and log."
    ),
]


@user.command("add")
def add(name: Name, role: RoleName = RoleOption.VIEWER, config: ConfigOption = None) -> None:
    """Add a user. Asks for the password, or reads it from the first line of stdin."""
    accounts = _accounts(config)
    name = checked_name(name)
    accounts.refuse_taken(name)
    password = read_secret("password", "the password is empty")
    add_user(accounts, name, role, password)
    say(f"{name} may log in as {role}")


@user.command("remove")
def remove(name: Name, config: ConfigOption = None) -> None:
    """Remove a user, and end all sessions and tokens of the name at once."""
    name = checked_name(name)
    _accounts(config).remove(name)
    say(f"{name} has no password, token or session any more")


@user.command("list")
def list_all(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List users, tokens and open sessions."""
    accounts = _accounts(config).all()
    if as_json:
        say(
            json.dumps(
                [
                    {
                        "name": one.name,
                        "role": one.role,
                        "tokens": [
                            {"role": role, "ends_at": ends}
                            for role, ends in zip(one.token_roles, one.token_ends, strict=True)
                        ],
                        "sessions": one.sessions,
                    }
                    for one in accounts
                ]
            )
        )
        return
    for one in accounts:
        parts = [one.role or "no password", f"{one.sessions} open sessions"]
        parts += [
            f"token {role} {_until(ends)}"
            for role, ends in zip(one.token_roles, one.token_ends, strict=True)
        ]
        say(f"{one.name}: {', '.join(parts)}")
    if not accounts:
        say("nobody yet; `rasnode user add NAME --role viewer` adds a user")


@user.command("token")
def token(
    name: Name,
    role: RoleName = RoleOption.VIEWER,
    days: Annotated[
        float | None, typer.Option(help="It ends after so many days; default: never by itself.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Print a new token for a program: Authorization: Bearer TOKEN.

    It is shown once. `rasnode user remove NAME` ends it.
    """
    say(issue_token(_accounts(config), name, role, days))


def _accounts(config: ConfigOption) -> Accounts:
    return Accounts(load_settings(config).storage.root)


def _until(ends: float | None) -> str:
    if ends is None:
        return "without end"
    word = "ended" if ends <= time.time() else "until"
    return f"{word} {time.strftime('%Y-%m-%d', time.localtime(ends))}"
