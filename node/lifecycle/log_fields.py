"""The fields of log records about a series, for `log.format: json`."""

from __future__ import annotations

from node.core.records import SeriesRecord


def series_fields(series: SeriesRecord) -> dict[str, str]:
    """The `extra` of a log record about a series."""
    return {"series": series.address, "study": series.study_uid}
