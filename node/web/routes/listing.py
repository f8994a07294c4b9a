"""`/api/series` and `/api/studies`: found by what people know of them, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from node.core.records import SeriesState, StudyState, Verdict
from node.storage.index.search.finding import Sort
from node.storage.index.search.wanted import Wanted
from node.web.roles import identity_of, role
from node.web.routes.answers import summary
from node.web.routes.list_parameters import Cursor, Limit, cursor_of, place, wanted
from node.web.routes.models import Drift, SeriesPage, SeriesSummary
from node.web.site import Site

_MOST_SERIES: Final = 200
"""Of a study in the list of studies; `/api/series?search=` with its UID has all of them."""
_Wanted = Annotated[Wanted, Depends(wanted)]
_Sort = Annotated[Sort, Query(description="The order; with a minus the last comes first.")]


class PatientView(BaseModel):
    """Whose study it is; only for whom `http.auth` lets in."""

    name: str
    patient_id: str
    birth_date: str = Field(description="YYYYMMDD")


class StudyView(BaseModel):
    """A study with its series."""

    study_instance_uid: str
    date: str = Field(description="Study Date, YYYYMMDD.")
    description: str
    modalities: list[str]
    instances: int
    state: StudyState = Field(description="`ready`: all known series of the study are at rest.")
    verdict: Verdict | None = Field(description="Of the list of series; null: not decided yet.")
    why: str | None = Field(description="The reason of the state, for people.")
    revision: int = Field(description="Of the last `study-ready`; 0: there was none.")
    drift: list[Drift] = Field(description="Series of the expected protocol that are missing.")
    patient: PatientView | None
    accession: str | None = Field(description="null: not for this role.")
    series: list[SeriesSummary] = Field(description="Those that are wanted, 200 at most.")
    series_count: int = Field(description="How many series are wanted.")
    hidden: int = Field(description="How many further series the study has.")


class StudyPage(BaseModel):
    """A page of studies."""

    studies: list[StudyView]
    next: str | None = Field(
        description="The parameter `cursor` of the next page; null: this is the last page."
    )
    states: dict[SeriesState, int] = Field(description="The number of series in each state.")


class Choices(BaseModel):
    """Values that filters can have, 200 of each at most."""

    modalities: list[str]
    senders: list[str]
    projects: list[str]


def add(api: APIRouter, site: Site) -> None:
    """Add the routes.

    Args:
        api: where to.
        site: what they read from.
    """

    @api.get("/series", openapi_extra=role("viewer"))
    def series(
        asked: _Wanted, sort: _Sort = Sort.LAST_RECEIVED, cursor: Cursor = None, limit: Limit = 100
    ) -> SeriesPage:
        """A page of series, the newest first."""
        found = site.finder.series(asked, sort, limit, place(cursor, sort))
        shown = _summaries(site, found.keys, asked)
        return SeriesPage(
            series=[shown[pk] for pk in found.keys if pk in shown],
            next=cursor_of(found.end, sort),
            states=_states(site),
        )

    @api.get("/studies", openapi_extra=role("viewer"))
    def studies(
        request: Request,
        asked: _Wanted,
        sort: _Sort = Sort.LAST_RECEIVED,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> StudyPage:
        """A page of studies that have a series which is wanted, the newest first."""
        found = site.finder.studies(asked, sort, limit, place(cursor, sort))
        series = site.finder.of_studies(found.keys, asked, _MOST_SERIES)
        shown = _summaries(site, [pk for keys, _ in series.values() for pk in keys], asked)
        identifiers = identity_of(request).identifiers
        return StudyPage(
            studies=[
                _study(
                    row,
                    [shown[pk] for pk in series[row["id"]][0] if pk in shown],
                    series[row["id"]][1],
                    identifiers=identifiers,
                )
                for row in site.finder.studies_with(found.keys)
            ],
            next=cursor_of(found.end, sort),
            states=_states(site),
        )

    @api.get("/filters", openapi_extra=role("viewer"))
    def filters() -> Choices:
        """Values that the filters of the lists can have."""
        return Choices(**site.finder.choices())


def _summaries(site: Site, keys: Sequence[int], asked: Wanted) -> dict[int, SeriesSummary]:
    """Series by their keys, without those that were removed or changed their state meanwhile."""
    shares = site.namesakes.of(keys) if keys else {}
    rows = site.latest.of(keys) if keys else []
    return {
        row["id"]: summary(row, site.outputs, shares.get(row["id"], ()))
        for row in rows
        if not asked.states or row["state"] in asked.states
    }


def _states(site: Site) -> dict[SeriesState, int]:
    totals = site.totals()
    return {each: totals.get(f"series_{each}", 0) for each in SeriesState}


def _study(
    row: dict[str, Any], series: list[SeriesSummary], count: int, *, identifiers: bool
) -> StudyView:
    verdict = row["verdict"] or {}
    return StudyView(
        study_instance_uid=row["study_instance_uid"],
        date=row["date"],
        description=row["description"],
        modalities=[one for one in row["modalities"].split("\\") if one],
        instances=row["instances"],
        state=StudyState(row["state"]),
        verdict=Verdict(verdict["verdict"]) if verdict else None,
        why=verdict.get("why"),
        revision=row["revision"],
        drift=[Drift(**one) for one in verdict.get("drift") or ()],
        patient=PatientView(
            name=row["name"], patient_id=row["patient_id"], birth_date=row["birth_date"]
        )
        if identifiers
        else None,
        accession=row["accession"] if identifiers else None,
        series=series,
        series_count=count,
        hidden=max(0, row["series_count"] - count),
    )
