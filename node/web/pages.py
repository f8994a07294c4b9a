"""The pages: files that are sent with what belongs to the user who asks for them."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from node.web.roles import Role, Way, identity_of

_HERE: Final = Path(__file__).parent
_HEAD_ENDS, _BAR_ENDS, _PAGES = "</head>", "</header>", "<!--pages-->"
_LINKS: Final = (
    ("/", "Series", Role.VIEWER),
    ("/deliveries", "Deliveries", Role.VIEWER),
    ("/pulls", "Fetching", Role.VIEWER),
    ("/admin", "Administration", Role.ADMIN),
)


@cache
def _template(name: str) -> Template:
    return Template((_HERE / "templates" / name).read_text("utf-8"))


@cache
def _static(name: str) -> str:
    return (_HERE / "static" / name).read_text("utf-8")


def filled(name: str, /, **values: str) -> str:
    """A template as HTML.

    Args:
        name: of the file below `templates`.
        values: texts, which never become markup.
    """
    return _template(name).substitute({key: escape(value) for key, value in values.items()})


def page(request: Request, name: str, status: int = 200) -> HTMLResponse:
    """A page of `static`, with links to the others, the CSRF token and the name of the user.

    Args:
        request: of the user.
        name: of the file.
        status: of HTTP.
    """
    identity = identity_of(request)
    text = _static(name).replace(_PAGES, _links(request.url.path, identity.role), 1)
    if identity.name:
        meta = f'<meta name="csrf" content="{escape(identity.csrf)}">'
        role = f'<meta name="role" content="{escape(identity.role)}">'
        style = '<link rel="stylesheet" href="/static/login.css">'
        text = text.replace(_HEAD_ENDS, f"  {meta}\n  {role}\n  {style}\n{_HEAD_ENDS}", 1)
        part = "account.html" if identity.way is Way.SESSION else "name.html"
        bar = filled(part, name=identity.name, role=identity.role, csrf=identity.csrf)
        text = text.replace(_BAR_ENDS, f"{bar}{_BAR_ENDS}", 1)
    return HTMLResponse(text, status)


def _links(here: str, role: Role) -> str:
    """The links to the pages that a role may see."""
    current = ' aria-current="page"'
    return "".join(
        f'<a href="{path}"{current if path == here else ""}>{text}</a>'
        for path, text, needed in _LINKS
        if role.includes(needed)
    )
