"""Evidence: what is proof of the whole, what is proof of a gap, and what is neither."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.completion.facts import (
    Count,
    FrameFacts,
    InstanceFacts,
    SeriesFacts,
    Source,
    Statement,
)
from node.completion.verdict import Finding, gather
from node.core.records import AssociationEnd, Verdict
from tests.unit.completion.builders import AXIAL, SAGITTAL, arrival, image, stack, uids, without

IIA = Count.IMAGES_IN_ACQUISITION
NTP = Count.TEMPORAL_POSITIONS


def judged(instances: list[InstanceFacts], *statements: Statement) -> Finding:
    return gather(SeriesFacts(tuple(instances), statements), [arrival()])


def reasons(finding: Finding, source: Source) -> str:
    return " / ".join(item.sentence for item in finding.evidence if item.source is source)


def test_a_regular_stack_and_a_release_prove_nothing() -> None:
    finding = judged(stack(30))
    assert finding.verdict is Verdict.UNKNOWN
    assert "30 slice positions, each 2.5 mm apart" in reasons(finding, Source.POSITIONS)
    assert "without a gap" in reasons(finding, Source.NUMBERS)
    assert "was released" in reasons(finding, Source.ASSOCIATION)


def test_a_missing_slice_is_named_in_mm() -> None:
    finding = judged(without(stack(30), 12))
    assert finding.verdict is Verdict.INCOMPLETE
    assert "at 27.5 mm" in reasons(finding, Source.POSITIONS)
    (gap,) = [item for item in finding.evidence if item.source is Source.POSITIONS]
    assert gap.detail["missing_positions"] == [
        {"along_normal_mm": 27.5, "position_lps_mm": [-100.0, -100.0, 27.5]}
    ]
    assert "InstanceNumber 12 is missing" in reasons(finding, Source.NUMBERS)


def test_several_gaps_are_all_named() -> None:
    finding = judged(without(stack(20), 3, 4, 11))
    assert "3 slice positions missing along the slice normal, at 5 mm, 7.5 mm, 25 mm" in reasons(
        finding, Source.POSITIONS
    )


@pytest.mark.parametrize("lost", [1, 30])
def test_a_lost_end_without_a_count_is_not_seen(lost: int) -> None:
    assert judged(without(stack(30), lost)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("missing", "mm"),
    [((30,), "72.5"), ((1,), "0"), ((29, 30), "70 mm, 72.5"), ((1, 30), "0 mm, 72.5"),
     ((1, 2, 12), "0 mm, 2.5")],
)  # fmt: skip
@pytest.mark.parametrize("descending", [False, True])
def test_a_slice_missing_at_an_end_is_named_where_a_count_tells(
    missing: tuple[int, ...], mm: str, descending: bool
) -> None:
    whole = stack(30, announced={IIA: 30})
    if descending:
        whole = [item._replace(number=31 - (item.number or 0)) for item in whole]
        missing = tuple(31 - number for number in missing)
    found = reasons(judged(without(whole, *missing)), Source.POSITIONS)
    ends = next(part for part in found.split(" / ") if "ends of the stack" in part)
    named = ends.rpartition(" at ")[2].removesuffix(" mm").split(" mm, ")
    assert sorted(named) == sorted(mm.split(" mm, "))


def test_ends_are_not_guessed_where_numbers_do_not_tell() -> None:
    from_39 = [item._replace(number=38 + (item.number or 0)) for item in stack(30)]
    without_numbers = [item._replace(number=None) for item in stack(30)]
    for series in (from_39, without_numbers):
        lacking = judged(series[:29], said(Source.SENDER_COUNT, count=30))
        assert lacking.verdict is Verdict.INCOMPLETE
        assert "ends of the stack" not in reasons(lacking, Source.POSITIONS)


def test_a_gap_without_numbers_is_still_a_gap() -> None:
    unnumbered = [item._replace(number=None) for item in without(stack(30), 12)]
    assert judged(unnumbered).verdict is Verdict.INCOMPLETE


def test_a_gap_that_numbers_run_over_was_made_so() -> None:
    ranges = [image(n, z) for n, z in enumerate([0, 5, 10, 15, 50, 55, 60], start=1)]
    finding = judged(ranges)
    assert finding.verdict is Verdict.UNKNOWN
    assert "intended" in reasons(finding, Source.POSITIONS)


def test_uneven_spacing_is_no_gap() -> None:
    uneven = [image(n, z) for n, z in enumerate([0, 5, 12.5, 17.5], start=1)]
    assert "unevenly" in reasons(judged(without(uneven, 99)), Source.POSITIONS)


def test_rounded_positions_are_regular() -> None:
    jitter = [0.0, 2.00001, 3.99995, 6.0001, 7.99998]
    rounded = [image(n, z) for n, z in enumerate(jitter, start=1)]
    finding = judged(rounded)
    assert finding.verdict is Verdict.UNKNOWN
    assert "5 slice positions" in reasons(finding, Source.POSITIONS)


def test_each_plane_of_a_localizer_is_judged_by_itself() -> None:
    planes = stack(5, step=10.0) + [
        image(
            6 + n,
            0.0,
            orientation=SAGITTAL,
            uid=f"s{n}",
        )._replace(frames=(FrameFacts(64, 64, SAGITTAL, (n * 10.0, 0.0, 0.0)),))
        for n in range(5)
    ]
    assert judged(planes).verdict is Verdict.UNKNOWN
    finding = judged(without(planes, 8))
    assert finding.verdict is Verdict.INCOMPLETE
    assert "1 slice position missing" in reasons(finding, Source.POSITIONS)


def test_numbers_in_steps_have_no_holes() -> None:
    doubled = [item._replace(number=2 * (item.number or 0)) for item in stack(10)]
    assert "without a gap" in reasons(judged(doubled), Source.NUMBERS)


def test_a_selection_of_whole_volumes_is_not_held() -> None:
    """As `philips-classic` of the corpus: numbers have holes, the grid is full."""
    chosen = [item for item in stack(10, times=8) if item.frames[0].time in {4, 6, 7}]
    finding = judged(chosen)
    assert finding.verdict is Verdict.UNKNOWN
    assert "InstanceNumbers 41 to 50 are missing" in reasons(finding, Source.NUMBERS)


def test_a_hole_in_the_numbers_leaves_proof_in_doubt() -> None:
    chosen = [item for item in stack(10, times=8) if item.frames[0].time in {4, 6, 7}]
    assert judged(chosen, said(Source.MPPS, uids=uids(chosen))).verdict is Verdict.UNKNOWN


def test_a_hole_among_mosaics_is_proof() -> None:
    mosaics = [
        InstanceFacts(
            f"m{n}", n, n, False, {}, tuple(
                FrameFacts(64, 64, (1, 0, 0, 0, 1, 0), (0, 0, 3.0 * k)) for k in range(12)
            ),
        )
        for n in range(1, 21)
    ]  # fmt: skip
    assert judged(mosaics).verdict is Verdict.UNKNOWN
    finding = judged(without(mosaics, 7))
    assert finding.verdict is Verdict.INCOMPLETE
    assert "InstanceNumber 7 is missing" in reasons(finding, Source.NUMBERS)


def test_mosaics_that_a_protocol_planned_are_proof_and_fewer_are_none() -> None:
    frames = tuple(FrameFacts(64, 64, AXIAL, (0, 0, 3.0 * k)) for k in range(12))
    mosaics = [
        InstanceFacts(f"m{n}", n, n, False, {Count.VOLUMES: 20}, frames) for n in range(1, 21)
    ]
    assert judged(mosaics).verdict is Verdict.COMPLETE
    finding = judged(mosaics[:12])
    assert finding.verdict is Verdict.UNKNOWN
    assert "plans 20 volumes: 12 were received" in reasons(finding, Source.ANNOUNCED)


def test_single_slices_that_a_protocol_planned_are_proof_and_fewer_are_none() -> None:
    planned = {Count.VOLUMES: 2, Count.PLANNED_SLICES: 10}
    series = stack(10, times=2, announced=planned)
    assert judged(series).verdict is Verdict.COMPLETE
    for fewer in (series[:10], series[:19], stack(9, times=2, announced=planned)):
        assert judged(fewer).verdict is not Verdict.COMPLETE
    finding = judged(stack(9, times=2, announced=planned))
    assert finding.verdict is Verdict.UNKNOWN
    assert "plans 10 slices: 9 were received" in reasons(finding, Source.ANNOUNCED)


def test_all_times_of_multi_frame_instances_are_proof_as_each_has_whole_stacks() -> None:
    def volume(number: int, frames: int) -> InstanceFacts:
        planes = tuple(FrameFacts(64, 64, AXIAL, (0, 0, 3.0 * k)) for k in range(frames))
        return InstanceFacts(f"v{number}", number, number, False, {NTP: 5}, planes)

    assert judged([volume(n, 12) for n in range(1, 6)]).verdict is Verdict.COMPLETE
    assert judged([volume(n, 12) for n in range(1, 5)]).verdict is Verdict.INCOMPLETE
    partial = [volume(n, 12) for n in range(1, 5)] + [volume(5, 11)]
    assert judged(partial).verdict is not Verdict.COMPLETE


def test_images_without_a_place_prove_nothing() -> None:
    ultrasound = [
        InstanceFacts(f"u{n}", n, None, False, {}, (FrameFacts(480, 640, None, None),))
        for n in (1, 2, 5)
    ]
    assert judged(ultrasound).verdict is Verdict.UNKNOWN


def test_a_missing_cell_of_a_grid_is_named() -> None:
    finding = judged(without(stack(10, times=5), 23))
    assert finding.verdict is Verdict.INCOMPLETE
    assert not finding.stopped
    (grid,) = [item for item in finding.evidence if item.source is Source.GRID]
    assert grid.detail["missing_images"] == [
        {
            "along_normal_mm": 5.0,
            "position_lps_mm": [-100.0, -100.0, 5.0],
            "images": 1,
            "temporal_positions": [3],
        }
    ]


def test_a_partial_last_volume_is_a_stopped_scan() -> None:
    finding = judged(without(stack(10, times=5), *range(47, 51)))
    assert finding.verdict is Verdict.INCOMPLETE
    assert finding.stopped
    assert "the last volume is partial: 4 of 50" in reasons(finding, Source.GRID)


def test_a_lost_tail_of_a_series_sent_slice_by_slice() -> None:
    finding = judged(without(stack(10, times=5, slice_by_slice=True), 49, 50))
    assert finding.verdict is Verdict.INCOMPLETE
    assert not finding.stopped


def test_overlapping_ranges_are_no_grid() -> None:
    first = [image(n + 1, 5.0 * n) for n in range(20)]
    second = [image(n + 21, 5.0 * (n + 10), uid=f"b{n}") for n in range(20)]
    finding = judged(first + second)
    assert finding.verdict is Verdict.UNKNOWN
    assert "intended" in reasons(finding, Source.GRID)


def test_a_missing_echo_is_found() -> None:
    assert judged(stack(10, echoes=2)).verdict is Verdict.UNKNOWN
    finding = judged(without(stack(10, echoes=2), 15))
    assert finding.verdict is Verdict.INCOMPLETE


def test_each_position_that_lost_an_image_of_another_time_is_found() -> None:
    """Counting shows nothing: all positions have as many images."""
    whole = [image(t * 3 + k + 1, k * 4.0, time=t + 1) for t in range(3) for k in range(3)]
    lost = [one for one in whole if (one.frames[0].time or 0) - 1 != round(one.number or 0) % 3]
    assert len(lost) == 6
    finding = judged(lost)
    assert finding.verdict is Verdict.INCOMPLETE
    assert "different temporal positions" in reasons(finding, Source.GRID)
    assert judged(whole).verdict is Verdict.UNKNOWN


def test_an_echo_time_that_is_rounded_otherwise_is_no_other_echo() -> None:
    slices = [image(k + 1, k * 2.0, echo=3.634 if k % 2 else 3.636) for k in range(8)]
    del slices[3]
    named = reasons(judged(slices), Source.POSITIONS)
    assert "1 slice position missing" in named
    assert not reasons(judged(slices), Source.GRID)


def test_an_announced_count_that_is_reached_is_proof() -> None:
    assert judged(stack(30, announced={IIA: 30})).verdict is Verdict.COMPLETE


def test_an_announced_count_that_is_not_reached_is_proof_of_a_gap() -> None:
    finding = judged(stack(29, announced={IIA: 30}))
    assert finding.verdict is Verdict.INCOMPLETE
    assert "ImagesInAcquisition says 30: 29 of 30 were received" in reasons(
        finding, Source.ANNOUNCED
    )


def test_a_count_that_is_exceeded_is_not_believed() -> None:
    assert judged(stack(31, announced={IIA: 30})).verdict is Verdict.UNKNOWN


def test_derived_images_repeat_their_sources_counts() -> None:
    derived = [item._replace(derived=True) for item in stack(4, announced={IIA: 77})]
    assert judged(derived).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "announced",
    [
        {IIA: 15, NTP: 10, Count.IMAGES_IN_SERIES: 15, Count.LOCATIONS: 15},
        {IIA: 150, NTP: 10, Count.IMAGES_IN_SERIES: 150, Count.LOCATIONS: 15},
    ],
    ids=["counted a time", "counted in all"],
)
def test_both_ways_in_which_ge_counts_a_time_series(announced: dict[Count, int]) -> None:
    whole = stack(15, times=10, announced=announced)
    assert judged(whole).verdict is Verdict.COMPLETE
    for here in (1, 14, 15, 16, 30, 75, 149):
        finding = judged(whole[:here])
        assert finding.verdict is Verdict.INCOMPLETE, here


def test_a_scan_stopped_before_its_announced_times_is_a_stopped_scan() -> None:
    planned = stack(15, times=10, announced={IIA: 15, NTP: 10})
    finding = judged(planned[:85])
    assert finding.verdict is Verdict.INCOMPLETE
    assert finding.stopped


def test_times_lost_in_the_midst_are_not_a_stopped_scan() -> None:
    """Each position lacks one time, but not the same one: what is there is no whole volume."""
    planned = stack(4, times=4, announced={IIA: 16, NTP: 4})
    finding = judged(without(planned, 6, 11, 13, 16))
    assert finding.verdict is Verdict.INCOMPLETE
    assert not finding.stopped
    assert judged(without(planned, 13, 14, 15, 16)).stopped


@pytest.mark.parametrize("scanned", [range(1, 4), range(1, 5)])
def test_a_stopped_scan_is_known_by_its_times_where_numbers_have_room_for_the_planned_ones(
    scanned: range,
) -> None:
    planned = stack(6, times=10, slice_by_slice=True, announced={NTP: 10})
    whole = [item for item in planned if item.frames[0].time in scanned]
    assert judged(whole).stopped
    partial = [item for item in whole if item is not whole[-1]]
    assert judged(partial).stopped
    assert "the last volume is partial" in reasons(judged(partial), Source.GRID)
    without_room = [item._replace(announced={IIA: 60, NTP: 10}) for item in planned]
    assert not judged(without(without_room, 30)).stopped
    lost = [item for item in whole if item is not whole[0]]
    assert judged(lost).verdict is Verdict.INCOMPLETE
    assert not judged(lost).stopped


def test_times_alone_do_not_prove_that_all_slices_came() -> None:
    """Sent slice by slice, a lost tail is whole slices, each with all its times."""
    by_slice = stack(10, times=5, slice_by_slice=True, announced={NTP: 5})
    assert judged(by_slice[:45]).verdict is Verdict.UNKNOWN


def test_times_and_slices_together_are_proof() -> None:
    counted = {Count.DYNAMICS: 5, Count.SLICES: 10}
    assert judged(stack(10, times=5, announced=counted)).verdict is Verdict.COMPLETE


def test_pet_counts_its_slices() -> None:
    announced = {Count.PET_SLICES: 47}
    assert judged(stack(47, announced=announced)).verdict is Verdict.COMPLETE
    assert judged(stack(46, announced=announced)).verdict is Verdict.INCOMPLETE


def test_parts_of_a_concatenation() -> None:
    parts = [
        item._replace(concatenation="1.9", announced={Count.CONCATENATION_TOTAL: 3})
        for item in stack(3)
    ]
    assert judged(parts).verdict is Verdict.COMPLETE
    assert judged(parts[:2]).verdict is Verdict.INCOMPLETE


def said(source: Source, **values: object) -> Statement:
    return Statement(source=source, by="PACS", at=20.0, **values)  # type: ignore[arg-type]


def test_what_the_sender_counts() -> None:
    series = stack(30)
    assert judged(series, said(Source.SENDER_COUNT, count=30)).verdict is Verdict.COMPLETE
    assert judged(series, said(Source.SENDER_COUNT, count=31)).verdict is Verdict.INCOMPLETE
    assert judged(series, said(Source.SENDER_COUNT, count=29)).verdict is Verdict.UNKNOWN


def test_what_the_sender_counted_before_the_last_instance_came_proves_nothing() -> None:
    early = Statement(source=Source.SENDER_COUNT, by="PACS", at=9.0, count=30)
    assert judged(stack(30), early).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("source", [Source.MPPS, Source.INSTANCE_AVAILABILITY, Source.COMMITMENT])
def test_lists(source: Source) -> None:
    series = stack(30)
    everything = uids(series)
    assert judged(series, said(source, uids=everything)).verdict is Verdict.COMPLETE
    assert judged(series, said(source, uids=everything, final=False)).verdict is Verdict.UNKNOWN
    finding = judged(series, said(source, uids=everything | {"1.2.99"}))
    assert finding.verdict is Verdict.INCOMPLETE
    assert "1.2.99" in reasons(finding, source)
    part = frozenset(sorted(everything)[:10])
    assert judged(series, said(source, uids=part)).verdict is Verdict.UNKNOWN


def test_a_list_for_commitment_counts_after_the_association_only() -> None:
    series = stack(30)
    statement = said(Source.COMMITMENT, uids=uids(series))
    facts = SeriesFacts(tuple(series), (statement,))
    assert gather(facts, [arrival(AssociationEnd.OPEN)]).verdict is Verdict.UNKNOWN


def test_a_gap_outweighs_every_proof() -> None:
    gappy = without(stack(30, announced={IIA: 29}), 12)
    finding = judged(
        gappy,
        said(Source.MPPS, uids=uids(gappy)),
        said(Source.SENDER_COUNT, count=29),
    )
    assert finding.verdict is Verdict.INCOMPLETE


def test_a_new_association_repairs_an_abort_and_a_parallel_one_does_not() -> None:
    facts = SeriesFacts(tuple(stack(3)))
    aborted = arrival(AssociationEnd.ABORTED, last=5.0, ended=6.0)
    later = arrival(first=8.0, last=9.0, ended=10.0)
    parallel = arrival(first=1.0, last=5.5, ended=10.0)
    assert "was aborted" not in reasons(gather(facts, [aborted, later]), Source.ASSOCIATION)
    assert "was aborted" in reasons(gather(facts, [aborted, parallel]), Source.ASSOCIATION)


def test_broken_coordinates_do_not_stop_the_judgement() -> None:
    nan = float("nan")
    broken = [
        image(1, nan),
        image(2, float("inf")),
        image(3, 1.7e308),
        image(4, -1.7e308),
        image(5, 0.0),
    ]
    judged(broken)


@given(st.integers(3, 40), st.data())
def test_the_order_of_arrival_does_not_matter(slices: int, data: st.DataObject) -> None:
    series = stack(slices, times=data.draw(st.integers(1, 3)), announced={IIA: slices})
    lost = data.draw(st.sets(st.integers(1, len(series)), max_size=3))
    left = without(series, *lost)
    shuffled = left[:]
    random.Random(data.draw(st.integers(0, 99))).shuffle(shuffled)
    one, other = judged(left), judged(shuffled)
    assert (one.verdict, one.stopped) == (other.verdict, other.stopped)
    assert {item.sentence for item in one.evidence} == {item.sentence for item in other.evidence}


@given(st.integers(5, 60), st.data())
def test_no_inner_loss_goes_unseen(slices: int, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(2, slices - 1), min_size=1, max_size=max(1, slices // 4)))
    assert judged(without(stack(slices), *lost)).verdict is Verdict.INCOMPLETE
