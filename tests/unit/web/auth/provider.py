"""A small OpenID provider for tests: discovery, keys, and the code flow with PKCE."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "rasnode-client", "a secret: with % and +"
Claims = dict[str, Any]


def no_change(claims: Claims) -> Claims:
    """The claims as they should be."""
    return claims


class Provider:
    """Lets everybody in as `olga`.

    Attributes:
        key: signs tokens.
        published: whose public halves `/jwks` answers.
        change: what is done to the claims of the next token.
        sign: makes the token of its claims.
        issuer: that discovery and tokens name.
        asked: how often each path was asked for.
        silent: answers nothing until it is cleared.
    """

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        self.published: list[Any] = [self.key]
        self.change: Callable[[Claims], Claims] = no_change
        self.sign: Callable[[Claims], str] = self.signed
        self.asked: dict[str, int] = {}
        self.silent = threading.Event()
        self._codes: dict[str, dict[str, str]] = {}
        me = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                me._answer(self, None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                me._answer(self, dict(parse_qsl(self.rfile.read(length).decode())))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Be away."""
        self.silent.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def authorize(self, url: str) -> str:
        """Log in as a browser does; returns where the provider sends it to."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def signed(self, claims: Claims) -> str:
        """A token of claims."""
        header = {"alg": "RS256", "kid": self.key.kid}
        return jwt.encode(header, claims, self.key)

    def _answer(self, request: BaseHTTPRequestHandler, form: dict[str, str] | None) -> None:
        path = request.path.partition("?")[0]
        self.asked[path] = self.asked.get(path, 0) + 1
        while self.silent.is_set():
            time.sleep(0.02)
        status, body = 404, {}
        if path == "/.well-known/openid-configuration":
            status, body = (
                200,
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/jwks",
                },
            )
        elif path == "/jwks":
            odd = {"kty": "unheard-of", "kid": "odd"}
            status, body = 200, {"keys": [odd, *(key.as_dict(False) for key in self.published)]}
        elif path == "/token" and form is not None:
            status, body = self._token(form, request.headers.get("Authorization", ""))
        raw = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(raw)))
        request.end_headers()
        request.wfile.write(raw)

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if [unquote(part) for part in given.split(":")] != [CLIENT, SECRET]:
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        if asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": "u-1", "aud": CLIENT, "exp": now + 300, "iat": now,
            "nonce": asked["nonce"], "preferred_username": "olga", "groups": ["rad-ops"],
        }  # fmt: skip
        return 200, {"token_type": "Bearer", "id_token": self.sign(self.change(claims))}
