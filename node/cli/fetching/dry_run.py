"""`rasnode pull --dry-run`: asks the peer what would come, and fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence

from node.cli.output.progress import progress_bar
from node.cli.output.terminal import say
from node.core.settings.model import PeerSettings, Settings
from node.dimse.pull.catalogue import series_of, studies_of, study_of_series
from node.dimse.pull.question import Question
from node.dimse.scu.query import QuerySCU
from node.dimse.scu.requests import peer


def show_what_would_come(
    settings: Settings, known: PeerSettings, questions: Sequence[Question]
) -> None:
    """Print a line for each study, and how many instances they have together.

    Args:
        settings: of the node.
        known: the peer that is asked.
        questions: what the rows ask for.

    Raises:
        NodeError: the peer does not answer.
    """
    studies: dict[str, int | None] = {}
    with (
        QuerySCU(peer(settings.dicom, known)) as query,
        progress_bar("asking", len(questions)) as bar,
    ):
        for asked in questions:
            studies.update(_counts(query, asked))
            bar.advance(1)
    for uid, count in studies.items():
        say(f"{uid}  {'?' if count is None else count}")
    known_counts = [count for count in studies.values() if count is not None]
    unknown = len(studies) - len(known_counts)
    more = f", and {unknown} whose number the peer does not say" if unknown else ""
    say(f"{sum(known_counts)} instances in {len(studies)} studies would come{more}")


def _counts(query: QuerySCU, asked: Question) -> dict[str, int | None]:
    keys = dict(asked.study)
    if not keys:
        uid = study_of_series(query, asked.series["SeriesInstanceUID"])
        if not uid:
            return {}
        keys["StudyInstanceUID"] = uid
    counts: dict[str, int | None] = {}
    for study in studies_of(query, keys).studies:
        counts[study.uid] = study.count
        if asked.series or study.count is None:
            series, _ = series_of(query, study, asked.series)
            known = [one.expected for one in series]
            counts[study.uid] = None if None in known else sum(one or 0 for one in known)
    return counts
