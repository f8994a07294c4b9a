"""Settings of the page and the API: `http`, who may log in and how."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from node.core.settings.contradictions import PAGE_PORT
from node.core.settings.host_names import check_host, check_page_host, is_loopback, read_authority

RoleName = Literal["viewer", "operator", "admin"]
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,64}")  # RFC 9110 5.1; `_`: see there
_LONGEST_SESSION: Final = 30 * 86400


class Strict(BaseModel):
    """A section in which unknown keys are errors: a typo must not silently mean the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _url(value: str) -> str:
    parts = urlsplit(value)
    authority = read_authority(parts.netloc)
    if parts.scheme not in {"http", "https"} or authority is None:
        raise ValueError("a URL such as https://login.example/realms/hospital")
    if parts.scheme == "http" and not is_loopback(authority.host):
        raise ValueError("a URL of https; http is for an address of this machine alone")
    return value


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    wrong = parts.path not in {"", "/"} or parts.query or parts.fragment
    if parts.scheme not in {"http", "https"} or read_authority(parts.netloc) is None or wrong:
        raise ValueError("scheme and host as browsers see them, such as https://rasnode.example")
    return value.rstrip("/")


def _header(value: str) -> str:
    # Servers may take `_` for `-`, so that a client could send a header that the proxy does not
    # remove.
    if not _HEADER.fullmatch(value):
        raise ValueError("the name of a header, such as X-Remote-User")
    return value.lower()


def _network(value: str) -> str:
    try:
        network: IPv4Network | IPv6Network = ip_network(value)
    except ValueError as error:
        raise ValueError("an address or network such as 10.0.0.5 or 10.20.0.0/16") from error
    if network.prefixlen == 0:
        raise ValueError("every address would be trusted; name those of the proxy")
    return str(network)


Header = Annotated[str, AfterValidator(_header)]
Trusted = Annotated[str, AfterValidator(_network)]
URL = Annotated[str, AfterValidator(_url)]


class HttpTLS(Strict):
    """TLS of the page: certificate with its chain, and key, as PEM files."""

    certificate: Path
    key: Path


class OidcRoles(Strict):
    """The values of the provider's claim that give each role."""

    viewer: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()


class Oidc(Strict):
    """Login at an OpenID Connect provider.

    Attributes:
        issuer: as the provider's discovery document has it.
        client_secret_file: its first line is the secret.
        roles_claim: claim of the ID token; dots lead into objects (`realm_access.roles`).
        scopes: asked for besides `openid`.
    """

    issuer: URL
    client_id: Annotated[str, Field(min_length=1)]
    client_secret_file: Path
    roles_claim: Annotated[str, Field(min_length=1)] = "roles"
    roles: OidcRoles
    scopes: tuple[str, ...] = ("profile",)

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> Oidc:
        if not (self.roles.viewer or self.roles.operator or self.roles.admin):
            raise ValueError("roles names no value of the claim: nobody could log in")
        return self


class ProxyLogin(Strict):
    """Users whom a reverse proxy in front of the node has let in.

    Attributes:
        user_header, roles_header: the proxy sets both, and removes what clients send in them.
        trusted: addresses of the proxy; the headers of all others are ignored.
    """

    user_header: Header
    roles_header: Header
    trusted: Annotated[tuple[Trusted, ...], Field(min_length=1)]


class Auth(Strict):
    """Who may use the page and the API; several ways may be set."""

    local: bool = False
    oidc: Oidc | None = None
    proxy: ProxyLogin | None = None

    @model_validator(mode="after")
    def _lets_somebody_in(self) -> Auth:
        if not (self.local or self.oidc or self.proxy):
            raise ValueError("nobody could log in: set local: true, oidc or proxy")
        return self


class Http(Strict):
    """The page and the API. Port null: no page.

    Attributes:
        hosts: names and addresses that the Host header of a request may have besides those of this
            machine.
        public_url: where browsers reach the page, if a proxy in front of it has another name or
            the certificate; None: as they call it.
        auth: None: no login, and then a loopback host alone, and the page only reads.
        session_seconds: after this long a user has to log in again.
    """

    host: Annotated[str, AfterValidator(check_host)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = PAGE_PORT
    hosts: tuple[Annotated[str, AfterValidator(check_page_host)], ...] = ()
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    tls: HttpTLS | None = None
    auth: Auth | None = None
    session_seconds: Annotated[float, Field(gt=0, le=_LONGEST_SESSION)] = 28800.0

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the page by HTTPS, here or at a proxy."""
        return self.tls is not None or (self.public_url or "").startswith("https:")
