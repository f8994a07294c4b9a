"""Builds the answers of the API from rows of the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from node.core.records import Arrival, SeriesState, address_of
from node.storage.index.series.namesakes import Namesake
from node.web.files.output_files import PICTURE, OutputFile, OutputFolder
from node.web.routes.models import (
    ArrivalView,
    Drift,
    PublishedFile,
    Quality,
    Reason,
    SeriesDetail,
    SeriesSummary,
    Share,
    Transition,
)


def summary(
    row: Mapping[str, Any], folder: OutputFolder, shares: Sequence[Namesake] = ()
) -> SeriesSummary:
    """A series as the list shows it.

    Args:
        row: as `index.latest` has it.
        folder: of its published files.
        shares: other series with the same UIDs.
    """
    return SeriesSummary(**_fields(row, folder, shares))


def detail(
    row: Mapping[str, Any],
    folder: OutputFolder,
    arrivals: Sequence[Arrival],
    history: Sequence[Mapping[str, Any]],
    shares: Sequence[Namesake],
    damaged: Sequence[str],
) -> SeriesDetail:
    """A series with all details.

    Args:
        row: as `index.latest` has it.
        folder: of its published files.
        arrivals: the associations that it came with.
        history: its changes of state.
        shares: other series with the same UIDs.
        damaged: a sentence for each damaged file.
    """
    uid = _address(row)
    return SeriesDetail(
        **_fields(row, folder, shares),
        files=[_file(uid, row["revision"], file, folder) for file in folder.files(row["outputs"])],
        arrivals=[
            ArrivalView(
                calling_ae=arrival.calling_ae,
                called_ae=arrival.called_ae,
                address=arrival.address,
                end=arrival.end,
                first_at=arrival.first_at,
                last_at=arrival.last_at,
                instances=arrival.instances,
            )
            for arrival in arrivals
        ],
        history=[_transition(step) for step in history],
        damaged=list(damaged),
    )


def _address(row: Mapping[str, Any]) -> str:
    return address_of(row["series_instance_uid"], row["part"])


def _fields(
    row: Mapping[str, Any], folder: OutputFolder, shares: Sequence[Namesake]
) -> dict[str, Any]:
    uid = _address(row)
    verdict = row["verdict"] or {}
    pictures = [file for file in folder.files(row["outputs"]) if file.ending == PICTURE]
    same = (
        "series_instance_uid", "study_instance_uid", "modality", "number", "description",
        "body_part", "date", "instances", "state", "revision", "first_arrival", "last_arrival",
    )  # fmt: skip
    return {
        **{name: row[name] for name in same},
        "address": uid,
        "shares": [Share(**one.as_dict()) for one in shares],
        "since": row["state_since"],
        "verdict": verdict.get("verdict"),
        "why": str(verdict.get("waits") or verdict.get("why", "")),
        "refusals": [
            Reason(source=str(item.get("reason", "")), sentence=str(item.get("sentence", "")))
            for item in _items(verdict, "refusals")
        ],
        "evidence": [
            Reason(
                source=str(item.get("source", "")),
                says=str(item.get("says", "")),
                sentence=str(item.get("reason", "")),
            )
            for item in _items(verdict, "reasons")
        ],
        "quality": {
            name: Quality(**figures) for name, figures in (verdict.get("quality") or {}).items()
        },
        "drift": [Drift(**item) for item in _items(verdict, "drift")],
        "joined": verdict.get("joined") if row["state"] == SeriesState.JOINED else None,
        "picture": _url(uid, row["revision"], pictures[0]) if pictures else None,
    }


def _transition(step: Mapping[str, Any]) -> Transition:
    """Without the rest of its detail: file names may identify the patient."""
    return Transition(
        at=step["at"],
        actor=step["actor"],
        from_state=step["from_state"],
        to_state=step["to_state"],
        revision=step["revision"],
        why=str(step["detail"].get("why", "")),
    )


def _items(verdict: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = verdict.get(name) or []
    return [item for item in found if isinstance(item, Mapping)]


def _file(uid: str, revision: int, file: OutputFile, folder: OutputFolder) -> PublishedFile:
    try:
        size = file.path.stat().st_size
    except OSError:
        size = None
    viewer = f"/api/series/{uid}/volumes/{file.number}?revision={revision}"
    return PublishedFile(
        number=file.number,
        ending=file.ending,
        bytes=size,
        path=folder.shown_path(file),
        url=_url(uid, revision, file),
        volume=viewer if file.is_volume else None,
    )


def _url(uid: str, revision: int, file: OutputFile) -> str:
    return f"/api/series/{uid}/files/{file.number}?revision={revision}"
