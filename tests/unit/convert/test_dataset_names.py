"""Names, runs, field maps and tables of a BIDS dataset: the same whatever arrives first."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.convert.naming import reproin
from node.convert.naming.bids import with_suffix
from node.convert.naming.bids_tables import UnreadableTable, updated
from node.convert.naming.field_maps import Scan
from node.convert.naming.siblings import Place, Sibling, scope_of, settle

SHIMS = (1.0, 2.0)
HEAD = Scan(SHIMS, "1.2", (-90, -100, -50, 90, 100, 80))


def sibling(series: str, wanted: str, started: int | None = 0, **values: object) -> Sibling:
    made = Sibling(series, 0, wanted, scope_of(wanted), started, scan=HEAD)
    return msgspec.structs.replace(made, **values)


def stems(*siblings: Sibling) -> dict[str, str]:
    return {series: place.stem for (series, _), place in settle(siblings).items()}


def test_repeated_scans_are_runs_in_the_order_of_time() -> None:
    name = "sub-1/anat/sub-1_T1w"
    found = stems(sibling("a", name, 30), sibling("b", name, 10), sibling("c", name, 20))
    assert found == {
        "b": "sub-1/anat/sub-1_run-01_T1w",
        "c": "sub-1/anat/sub-1_run-02_T1w",
        "a": "sub-1/anat/sub-1_run-03_T1w",
    }


def test_a_scan_that_is_alone_has_no_run_unless_runs_are_counted() -> None:
    name = "sub-1/func/sub-1_task-a_bold"
    assert stems(sibling("a", name)) == {"a": name}
    counted = stems(sibling("a", name, counted=True, repeats="last"))
    assert counted == {"a": "sub-1/func/sub-1_task-a_run-01_bold"}


def test_runs_never_take_a_name_that_another_scan_states() -> None:
    stated, repeated = "sub-1/anat/sub-1_run-02_T1w", "sub-1/anat/sub-1_T1w"
    found = stems(sibling("x", stated), sibling("a", repeated, 1), sibling("b", repeated, 2))
    assert found["x"] == stated
    assert len(set(found.values())) == 3


def test_cancelled_scans_of_reproin_are_marked_and_the_last_keeps_the_name() -> None:
    name = "sub-1/anat/sub-1_T1w"
    scans = [sibling(one, name, at, repeats="last") for one, at in (("a", 1), ("b", 2), ("c", 3))]
    assert stems(*scans) == {"a": f"{name}__dup-01", "b": f"{name}__dup-02", "c": name}


WANTED = ["sub-1/anat/sub-1_T1w", "sub-1/anat/sub-1_run-01_T1w", "sub-1/func/sub-1_task-a_bold"]
WORLDS = st.lists(
    st.tuples(
        st.sampled_from(WANTED),
        st.one_of(st.none(), st.integers(0, 5)),
        st.booleans(),
        st.sampled_from(["runs", "last"]),
    ),
    min_size=1,
    max_size=9,
)


@given(WORLDS, st.randoms(use_true_random=False))
def test_names_are_unique_and_do_not_depend_on_the_order(
    world: list[tuple[str, int | None, bool, str]], order: random.Random
) -> None:
    policies: dict[str, tuple[bool, str]] = {}
    siblings = []
    for number, (wanted, started, counted, repeats) in enumerate(world):
        how = policies.setdefault(wanted, (counted, repeats))
        siblings.append(sibling(str(number), wanted, started, counted=how[0], repeats=how[1]))
    expected = settle(siblings)
    assert len({place.stem for place in expected.values()}) == len(siblings)
    order.shuffle(siblings)
    assert settle(siblings) == expected


def linked(*siblings: Sibling) -> dict[str, Place]:
    return {series: place for (series, _), place in settle(siblings).items()}


BOLD = sibling("bold", "sub-1/func/sub-1_task-a_bold", 100)
FORTH = sibling("ap", "sub-1/fmap/sub-1_dir-AP_epi", 10)
BACK = sibling("pa", "sub-1/fmap/sub-1_dir-PA_epi", 20)


def test_a_pair_of_field_maps_is_linked_to_the_image_that_it_corrects() -> None:
    found = linked(BOLD, FORTH, BACK)
    assert found["bold"].fields == {"B0FieldSource": "pepolar"}
    for one in ("ap", "pa"):
        assert found[one].fields == {
            "B0FieldIdentifier": "pepolar",
            "IntendedFor": ["bids::sub-1/func/sub-1_task-a_bold.nii.gz"],
        }


@pytest.mark.parametrize(
    "scan",
    [
        msgspec.structs.replace(HEAD, shims=(1.0, 3.0)),
        msgspec.structs.replace(HEAD, frame_of_reference="1.3"),
        msgspec.structs.replace(HEAD, box=(200.0, 0.0, 0.0, 300.0, 10.0, 10.0)),
    ],
)
def test_other_shims_space_or_place_link_nothing(scan: Scan) -> None:
    found = linked(msgspec.structs.replace(BOLD, scan=scan), FORTH, BACK)
    assert found["bold"].fields == {}
    assert found["ap"].fields == {"B0FieldIdentifier": "pepolar"}


def test_of_several_field_maps_the_nearest_in_time_is_taken() -> None:
    late = [
        msgspec.structs.replace(one, series=f"{one.series}2", started=(one.started or 0) + 500)
        for one in (FORTH, BACK)
    ]
    after = msgspec.structs.replace(BOLD, series="later", started=600)
    found = linked(BOLD, after, FORTH, BACK, *late)
    assert found["bold"].fields == {"B0FieldSource": "pepolar_run01"}
    assert found["later"].fields == {"B0FieldSource": "pepolar_run02"}


def test_opposed_diffusion_images_correct_each_other() -> None:
    forth = sibling("ap", "sub-1/dwi/sub-1_dir-AP_dwi", 10)
    back = sibling("pa", "sub-1/dwi/sub-1_dir-PA_dwi", 20)
    found = linked(forth, back)
    both = {"B0FieldIdentifier": "dwi", "B0FieldSource": "dwi"}
    assert (found["ap"].fields, found["pa"].fields) == (both, both)
    assert linked(forth)["ap"].fields == {}


def test_a_phase_difference_has_the_echo_times_of_its_magnitudes() -> None:
    scans = [
        sibling(
            name, f"sub-1/fmap/sub-1_{name}", 5, scan=msgspec.structs.replace(HEAD, echo_time=t)
        )
        for name, t in (("magnitude1", 0.005), ("magnitude2", 0.007), ("phasediff", 0.007))
    ]
    fields = linked(*scans)["phasediff"].fields
    assert (fields["EchoTime1"], fields["EchoTime2"]) == (0.005, 0.007)


@pytest.mark.parametrize(
    ("base", "suffix", "name"),
    [
        ("sub-1_magnitude", "_e1", "sub-1_magnitude1"),
        ("sub-1_run-02_magnitude", "_e2", "sub-1_run-02_magnitude2"),
        ("sub-1_phasediff", "_ph", "sub-1_phasediff"),
        ("sub-1_task-a_bold", "_ph", "sub-1_task-a_part-phase_bold"),
    ],
)
def test_field_maps_number_their_echoes_in_the_suffix(base: str, suffix: str, name: str) -> None:
    assert with_suffix(base, suffix) == name


@pytest.mark.parametrize(
    ("protocol", "kind", "name"),
    [
        ("anat-T1w", "magnitude", "sub-p1/anat/sub-p1_T1w"),
        ("anat_T1w", "magnitude", "sub-p1/anat/sub-p1_T1w"),
        ("anat_acq-mprage_T1w", "magnitude", "sub-p1/anat/sub-p1_acq-mprage_T1w"),
        ("WIP func_task-rest_run-1", "magnitude", "sub-p1/func/sub-p1_task-rest_run-01_bold"),
        ("PU:func-bold_task-a_acq-b", "magnitude", "sub-p1/func/sub-p1_task-a_acq-b_bold"),
        ("func", "magnitude", "sub-p1/func/sub-p1_task-UNKNOWN_bold"),
        ("fmap_dir-AP_acq-x", "magnitude", "sub-p1/fmap/sub-p1_acq-x_dir-AP_epi"),
        ("fmap_acq-4mm", "magnitude", "sub-p1/fmap/sub-p1_acq-4mm_magnitude"),
        ("fmap_acq-4mm", "phase", "sub-p1/fmap/sub-p1_acq-4mm_phasediff"),
        ("dwi_dir-AP__what I tried", "magnitude", "sub-p1/dwi/sub-p1_dir-AP_dwi"),
        ("anat-scout_ses-pre", "magnitude", ""),
        ("AAHead_Scout_64ch", "magnitude", ""),
    ],
)
def test_names_of_reproin(protocol: str, kind: str, name: str) -> None:
    attributes = {"ProtocolName": protocol, "PatientID": "p1"}
    found = reproin.name_of(attributes, "{PatientID}", "", kind, ())
    assert found is not None
    assert found.stem == name


@pytest.mark.parametrize("protocol", ["t1_mprage", "", "ep2d_bold", "DTI_anat-T1w"])
def test_other_names_are_not_of_reproin(protocol: str) -> None:
    assert reproin.spec_of({"ProtocolName": protocol}) is None


def test_a_session_that_one_series_names_is_that_of_the_study() -> None:
    study = [{"ProtocolName": "anat-scout_ses-pre"}, {"ProtocolName": "anat-T1w"}]
    assert reproin.session_of(study, dates=False) == "pre"
    dated = [{"ProtocolName": "anat-scout_ses-{date}", "StudyDate": "20260102"}]
    assert reproin.session_of(dated, dates=True) == "20260102"
    assert reproin.session_of(dated, dates=False) == ""


def test_the_description_counts_where_the_protocol_has_no_name() -> None:
    attributes = {"ProtocolName": "ep2d", "SeriesDescription": "func_task-a_SBRef"}
    found = reproin.name_of({**attributes, "PatientID": "1"}, "{PatientID}", "", "magnitude", ())
    assert found is not None
    assert found.stem.endswith("_sbref")


def test_rows_are_added_and_what_a_person_wrote_stays() -> None:
    text = updated("", "filename", {"b.nii.gz": {"acq_time": "n/a"}})
    assert text == "filename\tacq_time\nb.nii.gz\tn/a\n"
    edited = "filename\tacq_time\tquality\nb.nii.gz\tn/a\tgood\n"
    text = updated(edited, "filename", {"a.nii.gz": {}, "b.nii.gz": {"acq_time": "T1"}})
    assert text.splitlines() == [
        "filename\tacq_time\tquality",
        "a.nii.gz\tn/a\tn/a",
        "b.nii.gz\tT1\tgood",
    ]


def test_a_cell_that_has_a_value_is_never_changed() -> None:
    edited = "filename\tacq_time\na\tcorrected\n"
    assert updated(edited, "filename", {"a": {"acq_time": "T1"}}) == edited


def test_a_renamed_scan_keeps_its_row_even_if_two_swap() -> None:
    edited = "filename\tnote\na\tfirst\nb\tsecond\n"
    text = updated(edited, "filename", {}, {"a": "b", "b": "a"})
    assert text == "filename\tnote\na\tsecond\nb\tfirst\n"


def test_a_row_is_removed_only_if_nobody_wrote_into_it() -> None:
    edited = "filename\tnote\na\tkeep\nb\tn/a\n"
    assert updated(edited, "filename", {}, {}, ["a", "b"]) == "filename\tnote\na\tkeep\n"


def test_a_table_without_its_key_is_not_touched() -> None:
    with pytest.raises(UnreadableTable):
        updated("name\nx\n", "filename", {"a": {}})
