"""Requests that pages of other sites send are known by what browsers say about them."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from node.web.auth.origins import is_foreign
from node.web.auth.routes import own_target


@pytest.mark.parametrize(
    ("host", "sent", "foreign"),
    [
        ("node.example:8080", {}, False),
        ("node.example:8080", {"origin": "http://node.example:8080"}, False),
        ("node.example", {"origin": "https://node.example"}, False),
        ("node.example:8080", {"origin": "http://node.example"}, True),
        ("node.example", {"origin": "http://evil.example"}, True),
        ("node.example", {"origin": "null"}, True),
        ("node.example", {"origin": ""}, True),
        ("node.example", {"origin": "http://node.example@evil.example"}, True),
        ("node.example", {"origin": "http://[broken"}, True),
        ("node.example", {"sec-fetch-site": "cross-site"}, True),
        ("node.example", {"sec-fetch-site": "same-site"}, True),
        ("node.example", {"sec-fetch-site": "same-origin"}, False),
        ("127.0.0.1:8080", {"origin": "https://rasnode.example"}, False),
    ],
)
def test_foreign(host: str, sent: dict[str, str], foreign: bool) -> None:
    headers = Headers({"host": host, **sent})
    assert is_foreign(headers, "https://rasnode.example") is foreign


def test_two_origins_are_foreign() -> None:
    raw = [(b"host", b"a.example"), (b"origin", b"http://a.example")] * 2
    assert is_foreign(Headers(raw=raw))


@pytest.mark.parametrize(
    ("asked", "own"),
    [
        ("/series/1.2.3", "/series/1.2.3"),
        ("/?search=x", "/?search=x"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/a\tb", "/"),
        ("/logout", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_this_page_alone(asked: str, own: str) -> None:
    assert own_target(asked) == own
