"""`/api/pulls`: jobs that fetch studies from peers."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from node.core.errors import ConfigError
from node.core.pulls import NewPull, Order
from node.storage.index.peers.pulls import NameTaken, NoSuchJob
from node.storage.index.peers.pulls_described import described
from node.web.operations import operator
from node.web.roles import identity_of, role
from node.web.site import Site

_Key = Annotated[str, StringConstraints(max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=1024)]
_Keys = dict[_Key, _Value]
_Job = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="The name of the job.")
]


class PullRequest(BaseModel):
    """A job to be made, as by `rasnode pull`."""

    model_config = ConfigDict(extra="forbid")

    peer: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="The name of a peer of `dicom.peers`."
    )
    rows: Annotated[list[_Keys], Field(min_length=1, max_length=100_000)] = Field(
        description="What is asked for: DICOM keywords and values, as in C-FIND."
    )
    name: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="", description="Of the job; empty: after the peer and the time."
    )
    series: _Keys = Field(default={}, description="Only series that match.")
    by: Literal["auto", "move", "get"] = "auto"
    window: Annotated[str, StringConstraints(max_length=32)] = Field(
        default="", description="HH:MM-HH:MM, local time."
    )
    rate: Annotated[str, StringConstraints(max_length=32)] = Field(
        default="", description="N/min or N MiB/s."
    )
    parallel: Annotated[int, Field(ge=1, le=16)] = 2


class JobOrdered(BaseModel):
    """A job that was made, or of which something is wanted."""

    name: str
    done: str


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: whose jobs they are.
    """

    @api.get("/pulls", openapi_extra=role("viewer"))
    def pulls(request: Request) -> list[dict[str, Any]]:
        """All jobs with how far they are, the oldest first."""
        shown = []
        for job in site.pulls.jobs():
            expected, received = site.pulls.progress(job)
            counts = {str(state): count for state, count in site.pulls.counts(job).items()}
            shown.append(
                {
                    "name": job.name,
                    "peer": job.peer,
                    "state": job.state,
                    "reason": _reason(request, job.reason),
                    "items": counts,
                    "expected": expected,
                    "received": received,
                    "created_at": job.created_at,
                    "ended_at": job.ended_at,
                }
            )
        return shown

    @api.get("/peers", openapi_extra=role("operator"))
    def peers() -> list[str]:
        """The names of `dicom.peers`, from which studies are fetched and to which results go."""
        return list(site.must_operate().settings.peers())

    @api.get("/pulls/{job}", openapi_extra=role("operator"))
    def one(job: _Job) -> dict[str, Any]:
        """A job with all its rows, as `rasnode pulls JOB --json`."""
        return described(site.pulls, _job(site, job))

    @api.post("/pulls", status_code=201, openapi_extra=role("operator"))
    def order(request: Request, asked: PullRequest) -> JobOrdered:
        """Fetch studies from a peer; the node does it in the background."""
        operator(request)
        operations = site.must_operate()
        name = asked.name or f"{asked.peer}-{time.strftime('%Y%m%d-%H%M%S')}"
        new = NewPull(
            name,
            asked.peer,
            tuple(enumerate(asked.rows, start=1)),
            asked.series,
            asked.by,
            asked.window,
            asked.rate,
            asked.parallel,
        )
        try:
            operations.check_pull(new)
            operations.pulls.create(new, time.time())
        except NameTaken as error:
            raise HTTPException(409, str(error)) from error
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
        return JobOrdered(name=name, done=f"the node fetches {len(asked.rows)} rows")

    @api.post("/pulls/{job}/{wanted}", status_code=202, openapi_extra=role("operator"))
    def change(request: Request, job: _Job, wanted: Order) -> JobOrdered:
        """Pause, resume, cancel or retry a job."""
        operator(request)
        try:
            site.must_operate().pulls.order(job, wanted)
        except NoSuchJob as error:
            raise HTTPException(404, str(error)) from error
        return JobOrdered(name=job, done=f"{wanted}: the node does it")


def _job(site: Site, name: str) -> Any:
    try:
        (found,) = site.pulls.jobs(name)
    except NoSuchJob as error:
        raise HTTPException(404, str(error)) from error
    return found


def _reason(request: Request, reason: str) -> str:
    """Why a job failed, in a peer's own words, which may have a name in them."""
    return reason if identity_of(request).identifiers else ""
