"""`POST /api/series/{uid}/…`: what operators do to a series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from node.completion.states import NotNow
from node.core.records import SeriesState
from node.lifecycle.operator_actions import NoSuchSeries, OperatorActions
from node.web.operations import operator
from node.web.roles import role
from node.web.routes.series_parameters import SeriesUID
from node.web.site import Site

_ACTIONS: Final[dict[str, tuple[Callable[[OperatorActions, str], str], str]]] = {
    "retry": (OperatorActions.retry, "Assemble the series again, or judge it again if it is held."),
    "force": (OperatorActions.force, "Assemble an incomplete series as it is."),
    "hold": (OperatorActions.hold, "Keep the series from being assembled until it is released."),
    "release": (OperatorActions.release, "Release a held series: the evidence decides again."),
    "deliver": (OperatorActions.deliver, "Deliver the present revision to its targets again."),
}


class Done(BaseModel):
    """What an action led to."""

    address: str
    state: SeriesState
    done: str = Field(description="What happens now.")


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: what they work on.
    """
    for name, (method, text) in _ACTIONS.items():
        _add_action(api, site, name, method, text)


def _add_action(
    api: APIRouter,
    site: Site,
    name: str,
    method: Callable[[OperatorActions, str], str],
    text: str,
) -> None:
    @api.post(
        f"/series/{{uid}}/{name}",
        status_code=202,
        name=name,
        description=text,
        openapi_extra=role("operator"),
    )
    def act(request: Request, uid: SeriesUID) -> Done:
        person = operator(request).name
        operations = site.must_operate()
        try:
            done = method(operations.actions(person), uid)
        except NoSuchSeries as error:
            raise HTTPException(404, str(error)) from error
        except NotNow as error:
            raise HTTPException(409, str(error)) from error
        operations.wake()
        row = site.row(uid)
        return Done(address=uid, state=row["state"], done=done)
