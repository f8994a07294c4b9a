"""Evidence from peers: how their associations ended, and what they said of the series."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from node.completion.facts import Evidence, Source, Statement
from node.core.records import Arrival, AssociationEnd, Verdict

MOST_NAMED = 5
_ENDED_BADLY = (AssociationEnd.ABORTED, AssociationEnd.LOST)


def unrecovered(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """The aborted or lost associations that no later association made up for.

    A sender's second try makes up for an abort if it brought new instances after it, or if it was
    released and all instances of the aborted association were sent again. An association that was
    open at the same time does not.
    """
    return [
        arrival
        for arrival in arrivals
        if arrival.end in _ENDED_BADLY
        and not any(_makes_up_for(later, arrival) for later in arrivals)
    ]


def _makes_up_for(later: Arrival, cut: Arrival) -> bool:
    if cut.ended_at is None or later.end in _ENDED_BADLY:
        return False
    if later.instances and later.last_at > cut.ended_at:
        return True
    released = later.end is AssociationEnd.RELEASED and later.ended_at is not None
    return released and cut.repeated and (later.ended_at or 0.0) > cut.ended_at


def association_evidence(arrivals: Sequence[Arrival]) -> Iterator[Evidence]:
    """How the associations that brought the series ended; never proof by itself."""
    for arrival in arrivals:
        if arrival.end is AssociationEnd.OPEN:
            yield _association(f"the association from {arrival.calling_ae} is still open")
    for arrival in unrecovered(arrivals):
        how = "was aborted" if arrival.end is AssociationEnd.ABORTED else "was lost"
        yield _association(
            f"the association from {arrival.calling_ae} {how} after {arrival.instances} instances"
        )
    if arrivals and all(arrival.end is AssociationEnd.RELEASED for arrival in arrivals):
        count = len(arrivals)
        yield _association(
            "its association was released" if count == 1 else f"{count} associations were released"
        )


def statement_evidence(
    statements: Sequence[Statement], received: Collection[str], arrivals: Sequence[Arrival]
) -> Iterator[Evidence]:
    """Compare what peers said of the series with what was received.

    Args:
        statements: what peers said.
        received: the SOP Instance UIDs of the series.
        arrivals: what each association brought.

    Yields:
        one piece of evidence for each statement.
    """
    last = max((arrival.last_at for arrival in arrivals), default=None)
    carried = [arrival.end for arrival in arrivals]
    for statement in statements:
        if statement.uids is not None:
            yield _list(statement, statement.uids, received, AssociationEnd.OPEN in carried)
        elif statement.count is not None:
            yield _count(statement, len(received), last)
        elif not statement.final:
            yield Evidence(
                statement.source,
                Verdict.UNKNOWN,
                f"{statement.by} says that the procedure step is in progress",
            )


def _list(
    statement: Statement, uids: frozenset[str], received: Collection[str], still_open: bool
) -> Evidence:
    missing = sorted(uids - set(received))
    if missing:
        named = ", ".join(missing[:MOST_NAMED])
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        return Evidence(
            statement.source,
            Verdict.INCOMPLETE,
            f"{statement.by} lists {len(uids)} instances; {len(missing)} are missing: "
            f"{named}{more}",
            detail={
                "lacking": len(missing),
                "missing_instances": missing[: 20 * MOST_NAMED],
            },
        )
    sentence = f"all {len(uids)} instances that {statement.by} lists were received"
    covers = uids >= set(received)
    if statement.source is Source.COMMITMENT:
        # Peers request commitment in batches: only a list of all instances sent counts.
        covers = covers and not still_open
    if not statement.final or not covers:
        return Evidence(statement.source, Verdict.UNKNOWN, f"{sentence}, but more may follow")
    return Evidence(statement.source, Verdict.COMPLETE, sentence)


def _count(statement: Statement, received: int, last: float | None) -> Evidence:
    count = statement.count or 0
    sentence = (
        f"{statement.by} answers that the series has {count} instances, {received} were received"
    )
    if received < count:
        says = Verdict.INCOMPLETE
    elif received > count or (last is not None and statement.at < last):
        says = Verdict.UNKNOWN  # answered before the last instance: the series may have grown since
    else:
        says = Verdict.COMPLETE
    detail = {"lacking": count - received} if says is Verdict.INCOMPLETE else {}
    return Evidence(statement.source, says, sentence, detail=detail)


def _association(sentence: str) -> Evidence:
    return Evidence(Source.ASSOCIATION, Verdict.UNKNOWN, sentence)
