"""`/api/deliveries`: what was delivered, what waits and what failed; rules tried without effect."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import BaseModel, Field

from node.completion.states import NotNow
from node.core.events import Delivery, DeliveryState, EventType
from node.deliver.targets.results import EVENT as RESULT
from node.deliver.targets.results import peer_of
from node.lifecycle.operator_actions import NoSuchDelivery, NoSuchSeries
from node.web.operations import operator
from node.web.roles import identity_of, role
from node.web.routes.list_parameters import Limit
from node.web.routes.series_parameters import SeriesUID
from node.web.site import Site

_LAST_ROW: Final = 2**63 - 1  # the largest row number of a database


class DeliveryView(BaseModel):
    """A delivery."""

    id: int
    address: str = Field(description="The name of the series in URLs and commands.")
    description: str = Field(description="Series Description.")
    target: str = Field(description="An entry of `deliver`, or of a result the peer.")
    event: str = Field(description="Such as ready; result: a mask, map or image for a peer.")
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
    counts: dict[DeliveryState, int] = Field(description="How many deliveries are in each state.")


class DeliveredAgain(BaseModel):
    """A delivery that is made again."""

    id: int
    done: str = Field(description="What happens now.")


class RuleView(BaseModel):
    """Whether a delivery would apply to a series."""

    name: str
    why_not: str = Field(description="Why it would not; empty: it would.")


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: whose deliveries they are.
    """

    @api.get("/deliveries", openapi_extra=role("viewer"))
    def deliveries(
        request: Request,
        series: Annotated[
            str | None, Query(pattern=r"^[0-9.]{1,64}(~[0-9]{1,8})?$", description="Of a series.")
        ] = None,
        state: DeliveryState | None = None,
        event: Annotated[
            str | None, Query(pattern=r"^[a-z-]{1,32}$", description="Such as ready or result.")
        ] = None,
        before: Annotated[int | None, Query(ge=0, le=_LAST_ROW)] = None,
        limit: Limit = 100,
    ) -> DeliveryPage:
        """Deliveries with what became of them, the newest first."""
        pk = None if series is None else site.row(series)["id"]
        rows = site.outbox.latest(limit, before=before, state=state, series_pk=pk, event=event)
        identifiers = identity_of(request).identifiers
        counts = site.outbox.counts()
        return DeliveryPage(
            deliveries=[_delivery(one, identifiers=identifiers) for one in rows],
            before=rows[-1].id if len(rows) == limit else None,
            counts={each: counts.get(str(each), 0) for each in DeliveryState},
        )

    @api.post("/deliveries/{number}/deliver", status_code=202, openapi_extra=role("operator"))
    def again(request: Request, number: Annotated[int, Path(ge=0, le=_LAST_ROW)]) -> DeliveredAgain:
        """Make one delivery again, under the same key."""
        person = operator(request).name
        operations = site.must_operate()
        try:
            done = operations.actions(person).deliver_one(number)
        except NoSuchDelivery as error:
            raise HTTPException(404, str(error)) from error
        except NotNow as error:
            raise HTTPException(409, str(error)) from error
        operations.wake()
        return DeliveredAgain(id=number, done=done)

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
        description=one.description,
        target=(peer_of(one.target) if one.event == RESULT else None) or one.target,
        event=one.event,
        revision=one.revision,
        state=one.state,
        attempts=one.attempts,
        due=one.due if one.state is DeliveryState.PENDING else None,
        created_at=one.created_at,
        reason=one.error if identifiers else "",
    )
