"""The page's lists over 100,000 series: how long a page of each search and filter takes.

    python -m benchmarks.finding [--postgresql] [--series 100000]

Prints the median of `--repeat` questions in milliseconds, for the list of series and for that of
studies, each with what the page shows of it. The aim is 100 ms. With `--postgresql` a throw-away
server is asked (PostgreSQL has to be installed), else an SQLite file; `--explain` also prints how
PostgreSQL answers the questions that miss the aim.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, insert, text

from benchmarks.population import Study, batches, fill_rasnode
from node.core.records import SeriesState
from node.storage.index.engine import Index
from node.storage.index.schema import ArrivalRow, AssociationRow, SeriesRow
from node.storage.index.search.finding import Finder, Sort
from node.storage.index.search.latest import Latest
from node.storage.index.search.wanted import Wanted
from tests.databases import migrated_sqlite, postgresql

AIM_MS: Final = 100.0
PAGE: Final = 50
_SERIES_OF_A_STUDY: Final = 5
_ASSOCIATIONS: Final = 20_000
_MIDDLE: Final = Study(9_999)

QUESTIONS: Final[dict[str, Wanted]] = {
    "everything": Wanted(),
    "a rare state": Wanted(states=(SeriesState.HELD,)),
    "the usual state": Wanted(states=(SeriesState.READY,)),
    "a modality": Wanted(modalities=("MR",)),
    "three years": Wanted(first="20180101", last="20201231"),
    "a day": Wanted(first="20180405", last="20180405"),
    "a month and a modality": Wanted(first="20180401", last="20180430", modalities=("CT",)),
    "a frequent sender": Wanted(senders=("SENDER1",)),
    "a rare sender": Wanted(senders=("RARE",)),
    "the project of all": Wanted(projects=("RASNODE",)),
    "a rare project": Wanted(projects=("TRIAL",)),
    "a project and a modality": Wanted(projects=("RASNODE",), modalities=("MR",)),
    "words of many": Wanted(text="something series", identifiers=True),
    "part of a UID": Wanted(text=_MIDDLE.uid),
    "a patient ID": Wanted(text=_MIDDLE.patient_id, identifiers=True),
    "part of a name": Wanted(text=_MIDDLE.name[:10].lower(), identifiers=True),
    "words of nobody": Wanted(text="nothing-has-this", identifiers=True),
    "words, project, modality": Wanted(
        text="something", projects=("RASNODE",), modalities=("CT",), identifiers=True
    ),
}


def main() -> None:
    """Fill an index and ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database(Path(folder), options) as url:
        index = Index(url)
        fill(url, index, options.series)
        slow = report(index, options.repeat)
        if options.explain and not index.is_sqlite:
            for question, sort, ask in slow:
                explain(index, question, sort, ask)
        index.close()


@contextmanager
def database(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """The URL of an empty index."""
    if options.postgresql:
        with postgresql(folder) as url:
            yield url
    else:
        yield migrated_sqlite(folder / "index.db")


def fill(url: str, index: Index, series: int) -> None:
    """Fill an index with series, and the associations that brought them."""
    fill_rasnode(url, series // _SERIES_OF_A_STUDY, _SERIES_OF_A_STUDY, 0)
    associations = [_association(number) for number in range(1, _ASSOCIATIONS + 1)]
    arrivals = (
        {
            "series_pk": pk,
            "association_pk": pk % _ASSOCIATIONS + 1,
            "first_at": float(pk),
            "last_at": float(pk),
            "instances": 100,
        }
        for pk in range(1, series + 1)
    )
    tables: tuple[tuple[Any, Iterable[dict[str, Any]]], ...] = (
        (AssociationRow, associations),
        (ArrivalRow, arrivals),
    )
    for table, rows in tables:
        for batch in batches(rows):
            with index.writing() as connection:
                connection.execute(insert(table), batch)
    reasons = [{"source": "quiet", "says": "unknown", "reason": "x" * 150}] * 6
    with index.writing() as connection:
        connection.execute(SeriesRow.__table__.update().values(verdict={"reasons": reasons}))
        connection.execute(
            SeriesRow.__table__.update().where(SeriesRow.id % 5000 == 0).values(state="held")
        )
    if not index.is_sqlite:
        with index.writing() as connection:
            connection.execute(text("ANALYZE"))


def _association(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "calling_ae": "RARE" if number % 2000 == 0 else f"SENDER{number % 4}",
        "called_ae": "TRIAL" if number % 1000 == 0 else "RASNODE",
        "address": "10.0.0.1",
        "opened_at": float(number),
        "ended_at": float(number),
        "end": "released",
        "process": "benchmark",
    }


def report(index: Index, repeat: int) -> list[tuple[str, Sort, Callable[[], object]]]:
    """Ask everything; returns what misses the aim."""
    finder, latest = Finder(index), Latest(index)
    slow: list[tuple[str, Sort, Callable[[], object]]] = []
    for name, wanted in QUESTIONS.items():
        for sort in (Sort.LAST_RECEIVED, Sort.DATE, Sort.DESCRIPTION):

            def series(wanted: Wanted = wanted, sort: Sort = sort) -> int:
                keys = finder.series(wanted, sort, PAGE).keys
                latest.of(keys)
                return len(keys)

            def studies(wanted: Wanted = wanted, sort: Sort = sort) -> int:
                keys = finder.studies(wanted, sort, PAGE).keys
                shown = finder.of_studies(keys, wanted, 200)
                latest.of([one for found, _ in shown.values() for one in found])
                finder.studies_with(keys)
                return len(keys)

            times = []
            for ask in (series, studies):
                ms, found = _timed(ask, repeat)
                times.append(f"{ms:6.1f} ms ({found:2d})")
                if ms > AIM_MS:
                    slow.append((f"{name}, {ask.__name__}", sort, ask))
            print(f"{name:26} {sort:13} series {times[0]}  studies {times[1]}", flush=True)
    print(f"{len(slow)} questions take more than {AIM_MS:.0f} ms")
    return slow


def _timed(ask: Callable[[], int], repeat: int) -> tuple[float, int]:
    found, times = ask(), []
    for _ in range(repeat):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000, found


def explain(index: Index, question: str, sort: Sort, ask: Callable[[], object]) -> None:
    """Print how PostgreSQL answers the statements of a question."""
    said: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        _connection, _cursor, statement, parameters, *_ = arguments
        if statement.startswith("SELECT"):
            said.append((statement, parameters))

    engine = index.engine
    event.listen(engine, "before_cursor_execute", note)
    ask()
    event.remove(engine, "before_cursor_execute", note)
    print(f"\n{question}, {sort}")
    with index.reading() as connection:
        for statement, parameters in said:
            rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters)
            print("\n".join(str(row[0])[:160] for row in rows))


if __name__ == "__main__":
    main()
