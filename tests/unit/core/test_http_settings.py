"""Settings of the page: who may reach it, and who may log in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from node.core.errors import ConfigError
from node.core.settings.file import load_settings

OIDC = {
    "issuer": "https://login.example/realm",
    "client_id": "rasnode",
    "client_secret_file": "/run/secret",
    "roles": {"viewer": ["staff"]},
}
PROXY = {"user_header": "X-User", "roles_header": "X-Roles", "trusted": ["10.0.0.5", "fd00::/64"]}


def loaded(folder: Path, http: object) -> object:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"http": http}))
    return load_settings(path).http


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "node.invalid"])  # noqa: S104
def test_others_reach_the_page_with_a_login_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=r"line 2: http\.host .*http\.auth.*loopback"):
        loaded(tmp_path, {"host": host})
    loaded(tmp_path, {"host": host, "auth": {"local": True}})
    loaded(tmp_path, {"host": host, "port": None})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_login(tmp_path: Path, host: str) -> None:
    loaded(tmp_path, {"host": host})


@pytest.mark.parametrize("auth", [{}, {"local": False}, {"magic": True}])
def test_a_login_that_lets_nobody_in_is_refused(tmp_path: Path, auth: object) -> None:
    with pytest.raises(ConfigError, match=r"http\.auth"):
        loaded(tmp_path, {"auth": auth})


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ({"oidc": {**OIDC, "issuer": "http://login.example"}}, "https"),
        ({"oidc": {**OIDC, "issuer": "login.example"}}, "a URL such as"),
        ({"oidc": {**OIDC, "roles": {}}}, "nobody could log in"),
        ({"proxy": {**PROXY, "trusted": []}}, "trusted"),
        ({"proxy": {**PROXY, "trusted": ["0.0.0.0/0"]}}, "every address would be trusted"),
        ({"proxy": {**PROXY, "trusted": ["proxy.example"]}}, "an address or network"),
        ({"proxy": {**PROXY, "user_header": "X_User"}}, "name of a header"),
    ],
)
def test_a_login_that_could_let_others_in_is_refused(
    tmp_path: Path, auth: object, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, {"auth": auth})


def test_all_ways_together(tmp_path: Path) -> None:
    loaded(tmp_path, {"auth": {"local": True, "oidc": OIDC, "proxy": PROXY}})
    loaded(tmp_path, {"auth": {"oidc": {**OIDC, "issuer": "http://127.0.0.1:9000/realm"}}})


@pytest.mark.parametrize("url", ["rasnode.example", "https://rasnode.example/ris", "ftp://a"])
def test_a_public_url_is_scheme_and_host(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"http\.public_url"):
        loaded(tmp_path, {"public_url": url})
