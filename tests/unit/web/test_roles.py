"""Roles: which includes which, and how routes state them."""

from __future__ import annotations

import pytest
from fastapi import APIRouter

from node.web.roles import Role, role, role_of


def test_each_role_includes_those_before_it_and_no_other() -> None:
    included = {
        one: {other for other in Role if one.includes(other)}
        for one in (Role.PUBLIC, Role.VIEWER, Role.OPERATOR, Role.ADMIN)
    }

    assert included == {
        Role.PUBLIC: {Role.PUBLIC},
        Role.VIEWER: {Role.PUBLIC, Role.VIEWER},
        Role.OPERATOR: {Role.PUBLIC, Role.VIEWER, Role.OPERATOR},
        Role.ADMIN: set(Role),
    }


def test_a_route_has_the_role_that_it_states() -> None:
    api = APIRouter()

    @api.get("/stated", openapi_extra=role("operator"))
    def stated() -> None:
        pass

    @api.get("/silent")
    def silent() -> None:
        pass

    assert [role_of(route) for route in api.routes] == [Role.OPERATOR, None]


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="surgeon"):
        role("surgeon")
