"""One Series Instance UID under several studies and patients: no volume of two, none withdrawn."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from node.assemble.frames.headers import decode_header, encode_header
from node.completion.facts import Count, InstanceFacts, Source, Statement
from node.core.events import Delivery, NewDelivery, SeriesEvent
from node.core.records import InstanceRecord, SeriesState
from node.core.settings.deliver import FolderSettings
from node.deliver.payload import payload
from node.deliver.targets.folder import Folder
from node.storage.index.series.namesakes import Namesakes
from node.storage.index.series.publications import Publications
from tests.simulator.bench import Bench, record
from tests.unit.completion.builders import stack, uids, without

ANN, BOB = "P1", "P2"
SLICES = stack(12)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.index.close()


def of(
    bench: Bench,
    items: Sequence[InstanceFacts],
    patient: str = ANN,
    study: str = "1.4",
    series: str = "1.5",
) -> list[InstanceRecord]:
    """What a patient's instances are in a study and series; any change makes other bytes."""
    found = []
    for item in items:
        said = {"PatientID": patient, "StudyInstanceUID": study}
        plain = record(item, series, bench.now, said)
        header = msgspec.structs.replace(
            decode_header(plain.header), study_instance_uid=study, facts={"PatientID": patient}
        )
        found.append(
            msgspec.structs.replace(
                plain,
                study_instance_uid=study,
                header=encode_header(header),
                sha256=f"{patient} {study} {series} {plain.sha256}",
                path=f"{patient}/{study}/{plain.path}",
            )
        )
    return found


def send(bench: Bench, *batches: list[InstanceRecord]) -> None:
    """By one association, one batch after the other."""
    association = bench.open()
    for batch in batches:
        bench.store.add([(one, association) for one in batch])
    bench.end(association)


def refused(bench: Bench, address: str) -> str:
    series = bench.series(address)
    assert series.state is SeriesState.NOT_A_VOLUME
    (refusal,) = (series.verdict or {})["refusals"]
    assert refusal["reason"] == "contradictory-identity"
    return str(refusal["sentence"])


@pytest.mark.parametrize(
    "copy",
    [
        {"patient": BOB},
        {"study": "1.44"},
        {"series": "1.55"},
        {"patient": BOB, "study": "1.44", "series": "1.55"},
    ],
)
@pytest.mark.parametrize("part", [12, 7])
def test_a_copy_withdraws_nothing(bench: Bench, copy: dict[str, str], part: int) -> None:
    send(bench, of(bench, SLICES))
    bench.run(10.0)
    before = bench.series()
    files = bench.files()
    send(bench, of(bench, SLICES[:part], **copy))
    bench.run(10.0)
    after = bench.series()
    assert (after.state, after.revision, after.outputs) == ("ready", 1, before.outputs)
    assert after.change == before.change
    assert set(files) < set(bench.files())
    (made,) = [one for one in bench.work.in_state() if one.pk != after.pk]
    assert (made.state, made.instances) == ("ready", part)
    assert made.uid == copy.get("series", "1.5")
    shares = Namesakes(bench.index).of([after.pk, made.pk])
    assert {one.address for one in shares[after.pk]} == {made.address}
    assert {one.address for one in shares[made.pk]} == {"1.5"}
    for series in (after, made):
        assert any(
            "too: see series" in step["detail"].get("why", "")
            for step in bench.work.history(series.pk)
        )


@pytest.mark.parametrize("other", [{"patient": BOB}, {"study": "1.44"}])
@pytest.mark.parametrize("interleaved", [False, True])
def test_a_torn_series_is_no_volume(bench: Bench, other: dict[str, str], interleaved: bool) -> None:
    first, second = of(bench, SLICES[:6]), of(bench, SLICES[6:], **other)
    if interleaved:
        pairs = zip(first, second, strict=True)
        send(bench, *([one] for pair in pairs for one in pair))
    else:
        send(bench, first, second)
    bench.run(10.0)
    what = "patient" if "patient" in other else "study"
    for address in ("1.5", "1.5~1"):
        sentence = refused(bench, address)
        assert f"more than one {what}:" in sentence
        assert ANN not in sentence
        assert BOB not in sentence
    assert bench.files() == []
    assert "see series 1.5~1 of study" in Namesakes(bench.index).of([1])[1][0].sentence


def test_one_strange_image_is_no_gap_that_is_waited_for_in_vain(bench: Bench) -> None:
    numbered = stack(12, announced={Count.IMAGES_IN_ACQUISITION: 12})
    send(bench, of(bench, without(numbered, 5)), of(bench, numbered[4:5], BOB))
    bench.run(60.0)
    assert "more than one patient: 11 here, 1 as series 1.5~1" in refused(bench, "1.5")
    assert "more than one patient: 1 here, 11 as series 1.5" in refused(bench, "1.5~1")


def test_what_was_a_volume_before_stays_one(bench: Bench) -> None:
    send(bench, of(bench, SLICES))
    bench.run(10.0)
    send(bench, of(bench, stack(30)[12:], BOB))
    bench.run(10.0)
    assert (bench.state(), bench.series().revision) == ("ready", 1)
    assert "12 as series 1.5 of study" in refused(bench, "1.5~1")
    # and is made again of its own instances
    more = of(bench, stack(13)[12:])
    send(bench, [msgspec.structs.replace(one, sop_instance_uid="1.6.99") for one in more])
    bench.run(10.0)
    assert (bench.state(), bench.series().revision) == ("ready", 2)
    assert len(bench.executor.jobs[-1].instances) == 13


def test_headers_that_contradict_each_other_in_one_series_are_refused(bench: Bench) -> None:
    """As an index of an earlier version has them: the real assembly looks itself."""
    from node.lifecycle.assembly.task import assemble

    first, second = of(bench, SLICES[:6]), of(bench, SLICES[6:], BOB)
    attributes = first[0].attributes
    bench.executor.task = assemble
    mixed = [msgspec.structs.replace(one, attributes=attributes) for one in second]
    send(bench, first, mixed)
    bench.run(10.0)
    assert "more than one patient: 6 as" in refused(bench, "1.5")


def test_a_count_says_nothing_of_several(bench: Bench) -> None:
    send(bench, of(bench, SLICES))
    said = Statement(Source.SENDER_COUNT, "CT1", bench.now, count=12)
    bench.statements.add("1.5", said, "CT1")
    listed = Statement(Source.MPPS, "CT1", bench.now, uids=uids(SLICES))
    bench.statements.add("1.5", listed, "1.7")
    assert len(bench.statements.of("1.5")) == 2
    send(bench, of(bench, SLICES, BOB))
    assert [one.source for one in bench.statements.of("1.5")] == [Source.MPPS]


@pytest.mark.parametrize("seed", range(3))
def test_random_worlds(tmp_path: Path, seed: int) -> None:
    """Patients, studies and series with copies, in any order: whatever comes out is one's own."""
    rng = random.Random(seed)
    bench = Bench(tmp_path, template="{SeriesDescription}")
    sent: dict[str, InstanceRecord] = {}
    places = [(p, s, e) for p in (ANN, BOB, "") for s in ("1.4", "1.44") for e in ("1.5", "1.55")]
    ready: dict[int, int] = {}
    for _ in range(8):
        for place in rng.sample(places, 3):
            begin = rng.randrange(0, 8, 4)
            items = SLICES[begin : begin + rng.choice((4, 8, 12))]
            rng.shuffle(items)
            batch = of(bench, items, *place)
            send(bench, batch)
            sent |= {one.sha256: one for one in batch}
        bench.run(rng.choice((1.0, 30.0)))
        for series in bench.work.in_state():
            if series.pk in ready:
                assert series.outputs or series.state != SeriesState.READY
            if series.state is SeriesState.READY:
                ready[series.pk] = series.revision
    bench.run(100.0)
    held = {
        one.sha256: series for series in bench.work.in_state()
        for one in bench.work.instances(series.pk)
    }  # fmt: skip
    assert held.keys() == sent.keys()
    for sha256, series in held.items():
        one = sent[sha256]
        assert (series.uid, series.study_uid) == (one.series_instance_uid, one.study_instance_uid)
    made = [job for job in bench.executor.jobs if job.contradiction is None]
    assert made
    for job in made:
        whose = {(one.sha256.split(" ")[0], one.sha256.split(" ")[1]) for one in job.instances}
        assert len({patient for patient, _ in whose} - {""}) <= 1
        assert len({study for _, study in whose}) == 1
    names = [name for series in bench.work.in_state() for name in series.outputs]
    assert len({name.casefold() for name in names}) == len(names)
    assert set(names) <= set(bench.files())
    bench.index.close()


def test_names_that_share_a_file_reach_output_and_folder_apart(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    told: list[NewDelivery] = []

    def tell(event: SeriesEvent) -> list[NewDelivery]:
        key = event.key("share")
        said = payload(event, key, str(tmp_path / "nifti"))
        told.append(NewDelivery(key, "share", str(event.event_type), event.revision, said))
        return []

    bench = Bench(tmp_path, template="{SeriesDescription}", rules=tell)
    descriptions = ("T1", "T1.manifest", "t1", "T1.manifest.r1", "Schädel", "SCHA\u0308DEL")
    for again in range(2):
        for number, description in enumerate(descriptions):
            items = of(bench, SLICES[: 10 + again], series=f"1.5.{number}")
            values = {"SeriesDescription": description}
            send(
                bench,
                [
                    msgspec.structs.replace(one, attributes={**one.attributes, **values})
                    for one in items
                ],
            )
            bench.run(10.0)
    target = Folder(FolderSettings(path=share), Publications(bench.index).digests)
    for number, new in enumerate(told):
        series = bench.work.series(new.payload["series_instance_uid"])
        assert series is not None
        target.deliver(
            Delivery(number, new.key, series.pk, "1.5", "share", new.event, new.revision,
                     new.payload, "pending", 0, None, 0.0, "")  # type: ignore[arg-type]
        )  # fmt: skip
    visible = {path.name: path.read_bytes() for path in share.iterdir()}
    expected = [name for series in bench.work.in_state() for name in series.outputs]
    assert len({name.casefold() for name in expected}) == 3 * len(descriptions)
    assert visible.keys() == set(expected)
    for series in bench.work.in_state():
        (manifest,) = [name for name in series.outputs if name.endswith(".manifest.json")]
        assert bench.read(manifest)["series_instance_uid"] == series.uid
        assert visible[manifest] == (bench.output / manifest).read_bytes()
    bench.index.close()
