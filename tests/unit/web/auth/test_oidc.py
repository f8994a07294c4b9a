"""Login at an OpenID provider: who proves to be let in, and what is refused."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from node.core.errors import ConfigError
from node.core.settings.http import Http
from node.web.auth import provider as asking
from node.web.auth.oidc import CALLBACK
from tests.unit.web.auth.provider import CLIENT, SECRET, Claims, Provider
from tests.unit.web.conftest import World


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def provider(shared_provider: Provider) -> Iterator[Provider]:
    kept = dict(vars(shared_provider))
    shared_provider.asked = {}
    yield shared_provider
    vars(shared_provider).update(kept)


def settings(world: World, provider: Provider) -> Http:
    file = world.outputs.parent / "oidc-secret"
    file.write_text(f"{SECRET}\n")
    oidc = {
        "issuer": provider.url,
        "client_id": CLIENT,
        "client_secret_file": str(file),
        "roles_claim": "groups",
        "roles": {"viewer": ["rad-readers"], "operator": ["rad-ops"], "admin": ["rad-admins"]},
    }
    return Http.model_validate({"auth": {"oidc": oidc}})


@pytest.fixture
def client(world: World, provider: Provider) -> httpx.Client:
    return world.client(settings(world, provider))


def begin(client: httpx.Client, path: str = "/login/oidc") -> str:
    answer = client.get(path)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def come_back(client: httpx.Client, provider: Provider) -> httpx.Response:
    return client.get(provider.authorize(begin(client)))


def who(client: httpx.Client) -> tuple[str, str] | None:
    answer = client.get("/api/session")
    if answer.status_code != 200:
        return None
    return answer.json()["name"], answer.json()["role"]


def test_the_login_page_leads_to_the_provider(client: httpx.Client) -> None:
    page = client.get("/login?next=/series/1.2").text
    (link,) = re.findall(r'href="(/login/oidc[^"]*)"', page)
    asked = httpx.URL(begin(client, link)).params
    assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
    assert "openid" in asked["scope"].split()
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert asked["redirect_uri"] == f"{str(client.base_url).rstrip('/')}{CALLBACK}"


def test_a_user_comes_in_with_the_role_of_the_claim(
    client: httpx.Client, provider: Provider
) -> None:
    answer = come_back(client, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert who(client) == ("olga", "operator")


def test_the_login_leads_to_where_it_began(client: httpx.Client, provider: Provider) -> None:
    url = begin(client, "/login/oidc?next=/series/1.2.3%3Fa%3Db")
    assert client.get(provider.authorize(url)).headers["location"] == "/series/1.2.3?a=b"


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["rad-readers"], "viewer"),
        (["rad-readers", "rad-admins"], "admin"),
        ("rad-ops", "operator"),
        (["cafeteria"], None),
        ([], None),
        ("rad-ops rad-admins", None),
        ([{"rad-ops": 1}, 7, None], None),
        (None, None),
    ],
)
def test_roles(
    client: httpx.Client, provider: Provider, groups: object, expected: str | None
) -> None:
    provider.change = lambda claims: {**claims, "groups": groups}
    answer = come_back(client, provider)
    assert who(client) == (None if expected is None else ("olga", expected))
    assert answer.status_code == (403 if expected is None else 303)


def without(key: str) -> Callable[[Claims], Claims]:
    return lambda claims: {name: value for name, value in claims.items() if name != key}


@pytest.mark.parametrize(
    "change",
    [
        lambda claims: {**claims, "iss": "http://127.0.0.1:1/other"},
        lambda claims: {**claims, "aud": "somebody-else"},
        lambda claims: {**claims, "aud": [CLIENT, "other"]},
        lambda claims: {**claims, "aud": [CLIENT, "other"], "azp": "other"},
        lambda claims: {**claims, "azp": "other"},
        lambda claims: {**claims, "nonce": "another"},
        lambda claims: {**claims, "exp": int(time.time()) - 100},
        lambda claims: {**claims, "iat": int(time.time()) + 1000},
        lambda claims: {**claims, "nbf": int(time.time()) + 1000},
        lambda claims: {**claims, "exp": "soon"},
        *map(without, ("iss", "aud", "sub", "exp", "iat", "nonce")),
    ],
)
def test_a_token_that_does_not_fit_this_login_is_refused(
    client: httpx.Client, provider: Provider, change: Callable[[Claims], Claims]
) -> None:
    provider.change = change
    answer = come_back(client, provider)
    assert answer.status_code == 403
    assert who(client) is None


def test_clocks_may_differ_by_a_minute(client: httpx.Client, provider: Provider) -> None:
    now = int(time.time())
    provider.change = lambda claims: {**claims, "iat": now + 30, "exp": now - 20}
    come_back(client, provider)
    assert who(client) == ("olga", "operator")


def coded(*parts: object) -> str:
    raw = [json.dumps(part).encode() for part in parts]
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in raw)


def by_public_key(claims: Claims, key: RSAKey) -> str:
    """A token whose shared secret is what everybody may read."""
    text = coded({"alg": "HS256", "kid": key.kid}, claims)
    signature = hmac.digest(key.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("how", ["none", "hs256", "foreign", "unknown", "tampered", "rubbish", ""])
def test_a_token_that_the_provider_has_not_signed_is_refused(
    client: httpx.Client, provider: Provider, how: str
) -> None:
    other = RSAKey.generate_key(2048, {"kid": "first"})

    def tampered(claims: Claims) -> str:
        head, _, signature = provider.signed(claims).split(".")
        body = provider.signed({**claims, "groups": ["rad-admins"]}).split(".")[1]
        return f"{head}.{body}.{signature}"

    provider.sign = {
        "none": lambda claims: coded({"alg": "none", "typ": "JWT"}, claims) + ".",
        "hs256": lambda claims: by_public_key(claims, provider.key),
        "foreign": lambda claims: jwt.encode({"alg": "RS256", "kid": "first"}, claims, other),
        "unknown": lambda claims: jwt.encode({"alg": "RS256", "kid": "k9"}, claims, other),
        "tampered": tampered,
        "rubbish": lambda _: "a.b.c",
        "": lambda _: "",
    }[how]
    answer = come_back(client, provider)
    assert answer.status_code == 403
    assert who(client) is None


def test_a_new_key_of_the_provider_is_found(
    client: httpx.Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_back(client, provider)
    assert provider.asked["/jwks"] == 1
    provider.key = RSAKey.generate_key(2048, {"kid": "second", "use": "sig"})
    provider.published = [provider.key]
    client.cookies.clear()
    monkeypatch.setattr(asking, "LEAST_SECONDS", 0.0)
    come_back(client, provider)
    assert who(client) == ("olga", "operator")
    assert provider.asked["/jwks"] == 2


def test_tokens_of_unknown_keys_do_not_flood_the_provider(
    client: httpx.Client, provider: Provider
) -> None:
    other = RSAKey.generate_key(2048)
    provider.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": "k9"}, claims, other)
    for _ in range(5):
        come_back(client, provider)
    assert provider.asked["/jwks"] <= 2
    assert provider.asked["/.well-known/openid-configuration"] == 1


def test_a_login_ends_in_the_browser_where_it_began_and_once(
    world: World, client: httpx.Client, provider: Provider
) -> None:
    back = provider.authorize(begin(client))
    with httpx.Client(base_url=client.base_url) as other:
        assert other.get(back).status_code == 400
        assert who(other) is None
        begin(other)
        assert other.get(back).status_code == 400
        assert who(other) is None
    assert client.get(back).status_code == 303
    client.cookies.clear()
    assert client.get(back).status_code == 400
    assert who(client) is None


@pytest.mark.parametrize("state", ["&state=" + "A" * 43, "", "&state="])
def test_a_wrong_state_is_refused(client: httpx.Client, provider: Provider, state: str) -> None:
    back = re.sub("&state=.*", state, provider.authorize(begin(client)))
    assert client.get(back).status_code == 400
    assert who(client) is None


def test_an_error_of_the_provider_is_told_and_its_text_is_not(
    client: httpx.Client, provider: Provider
) -> None:
    for error in ("access_denied", "<script>alert(1)</script>"):
        back = re.sub("code=[^&]*", "", provider.authorize(begin(client)))
        answer = client.get(back, params={**httpx.URL(back).params, "error": error})
        assert answer.status_code == 403
        assert ("access_denied" in answer.text) == (error == "access_denied")
        assert "<script>alert" not in answer.text


def test_a_provider_that_is_away_or_silent_costs_a_login_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(asking, "LEAST_SECONDS", 0.0)
    own = Provider()
    client = world.client(settings(world, own))
    own.silent.set()
    answer = client.get("/login/oidc", timeout=30)
    assert answer.status_code == 503
    assert "does not answer in time" in answer.text
    own.silent.clear()
    assert client.get("/login/oidc").status_code == 303
    own.close()
    away = world.client(settings(world, own)).get("/login/oidc")
    assert away.status_code == 503
    assert "cannot be reached" in away.text
    assert client.get("/health").status_code == 200


def test_a_provider_that_calls_itself_otherwise_is_refused(
    client: httpx.Client, provider: Provider
) -> None:
    provider.issuer = "https://other.example"
    answer = client.get("/login/oidc")
    assert answer.status_code == 503
    assert "http.auth.oidc.issuer" in answer.text


def test_a_secret_that_cannot_be_read_is_named(world: World, provider: Provider) -> None:
    wanted = settings(world, provider)
    (world.outputs.parent / "oidc-secret").unlink()
    with pytest.raises(ConfigError, match=r"oidc-secret .*client_secret_file"):
        world.client(wanted)
