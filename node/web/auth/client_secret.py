"""The secret of the OpenID client, from its file."""

from __future__ import annotations

from node.core.errors import ConfigError
from node.core.settings.http import Oidc


def client_secret(settings: Oidc) -> str:
    """The first line of `client_secret_file`.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    path = settings.client_secret_file
    try:
        secret = path.read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"{path} (http.auth.oidc.client_secret_file) cannot be read: {error}"
        ) from error
    if not secret:
        raise ConfigError(f"{path} (http.auth.oidc.client_secret_file) is empty")
    return secret
