"""`POST /api/series/{uid}/…`: what operators do to a series, and its deliveries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field

from node.completion.states import NotNow
from node.core.events import Delivery, DeliveryState, EventType
from node.core.records import SeriesState
from node.lifecycle.operator_actions import NoSuchSeries, OperatorActions
from node.web.operations import operator
from node.web.roles import identity_of, role
from node.web.routes.list_parameters import Limit
from node.web.routes.series_parameters import SeriesUID
from node.web.site import Site

_ACTIONS: Final[dict[str, tuple[Callable[[OperatorActions, str], str], str]]] = {
    "retry": (OperatorActions.retry, "Assemble the series again, or judge it again if it is held."),
    "force": (OperatorActions.force, "Assemble an incomplete series as it is."),
    "hold": (OperatorActions.hold, "Keep the series from being assembled until it is released."),
    "release": (OperatorActions.release, "Release a held series: the evidence decides again."),
    "deliver": (OperatorActions.deliver, "Deliver the present revision to its targets again."),
}
_LAST_ROW: Final = 2**63 - 1  # the largest row number of a database


class Done(BaseModel):
    """What an action led to."""

    address: str
    state: SeriesState
    done: str = Field(description="What happens now.")


class DeliveryView(BaseModel):
    """A delivery."""

    id: int
    address: str = Field(description="The name of the series in URLs and commands.")
    target: str
    event: str
    revision: int
    state: DeliveryState
    attempts: int
    due: float | None = Field(description="When it is tried next; seconds since 1970, UTC.")
    created_at: float
    reason: str = Field(description="Why it failed last; empty: it did not, or not for this role.")


class DeliveryPage(BaseModel):
    """A page of deliveries, the newest first."""

    deliveries: list[DeliveryView]
    before: int | None = Field(
        description="The parameter `before` of the next page; null: this is the last page."
    )


class RuleView(BaseModel):
    """Whether a delivery would apply to a series."""

    name: str
    why_not: str = Field(description="Why it would not; empty: it would.")


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: what they work on.
    """
    for name, (method, text) in _ACTIONS.items():
        _add_action(api, site, name, method, text)
    _add_deliveries(api, site)


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


def _add_deliveries(api: APIRouter, site: Site) -> None:
    @api.get("/deliveries", openapi_extra=role("viewer"))
    def deliveries(
        request: Request,
        series: Annotated[
            str | None, Query(pattern=r"^[0-9.]{1,64}(~[0-9]{1,8})?$", description="Of a series.")
        ] = None,
        state: DeliveryState | None = None,
        before: Annotated[int | None, Query(ge=0, le=_LAST_ROW)] = None,
        limit: Limit = 100,
    ) -> DeliveryPage:
        """Deliveries with what became of them, the newest first."""
        pk = None if series is None else site.row(series)["id"]
        rows = site.outbox.latest(limit, before=before, state=state, series_pk=pk)
        identifiers = identity_of(request).identifiers
        return DeliveryPage(
            deliveries=[_delivery(one, identifiers=identifiers) for one in rows],
            before=rows[-1].id if len(rows) == limit else None,
        )

    @api.get("/series/{uid}/rules", openapi_extra=role("operator"))
    def rules(uid: SeriesUID, event: EventType = EventType.READY) -> list[RuleView]:
        """Which entries of `deliver` would apply to the series, and why the others would not.

        Nothing is delivered.
        """
        operations = site.must_operate()
        try:
            tried = operations.assumed.refusals(operations.rules(), uid, event)
        except NoSuchSeries as error:
            raise HTTPException(404, str(error)) from error
        return [RuleView(name=name, why_not=why or "") for name, why in tried.items()]


def _delivery(one: Delivery, *, identifiers: bool) -> DeliveryView:
    # A target's own words may have a name in them.
    return DeliveryView(
        id=one.id,
        address=one.series,
        target=one.target,
        event=one.event,
        revision=one.revision,
        state=one.state,
        attempts=one.attempts,
        due=one.due if one.state is DeliveryState.PENDING else None,
        created_at=one.created_at,
        reason=one.error if identifiers else "",
    )
