"""Who sends a request, and whether they may: login, sessions, tokens, roles, CSRF, audit."""
