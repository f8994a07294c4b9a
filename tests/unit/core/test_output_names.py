"""Names of outputs: templates that say what they mean, and peers' text that stays text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import ConfigError
from node.core.output_names import MAX_COMPONENT_BYTES, SUFFIX_BYTES, check_template, render_name

DEFAULT = "{StudyInstanceUID}/{SeriesNumber:04d}_{Modality}_{SeriesDescription}"
VALUES = {
    "StudyInstanceUID": "1.2.3",
    "SeriesNumber": "7",
    "Modality": "MR",
    "SeriesDescription": "t1 mprage, sag",
}


@pytest.mark.parametrize(
    ("template", "values", "name"),
    [
        (DEFAULT, {}, "1.2.3/0007_MR_t1_mprage_sag"),
        (DEFAULT, {"SeriesDescription": None}, "1.2.3/0007_MR"),
        (DEFAULT, {"SeriesNumber": None}, "1.2.3/MR_t1_mprage_sag"),
        (DEFAULT, {"SeriesNumber": "", "Modality": "", "SeriesDescription": ""}, "1.2.3/unnamed"),
        (DEFAULT, {"SeriesNumber": "x/y"}, "1.2.3/x_y_MR_t1_mprage_sag"),
        (DEFAULT, {"SeriesDescription": "../../etc/passwd"}, "1.2.3/0007_MR_.._.._etc_passwd"),
        ("{SeriesDescription}/{SeriesNumber}", {"SeriesDescription": ".."}, "unnamed/7"),
        ("{SeriesDescription}/{SeriesNumber}", {"SeriesDescription": ".hidden"}, "hidden/7"),
        ("{SeriesDescription:.6}", {}, "t1_mpr"),
        ("{PatientName}", {"PatientName": "Doe^John"}, "Doe_John"),
        ("{SeriesDescription}", {"SeriesDescription": "a\x00b\u202ec\nd"}, "a_b_c_d"),
        ("{SeriesDescription}", {"SeriesDescription": "Schädel 脳"}, "Schädel_脳"),
        ("{OtherPatientIDs}_x", {"OtherPatientIDs": ["a", "b"]}, "a_b_x"),
    ],
)
def test_names(template: str, values: dict[str, object], name: str) -> None:
    check_template(template)
    assert render_name(template, {**VALUES, **values}) == name


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("", "is empty"),
        ("constant", "the same name"),
        ("/{SeriesNumber}", "relative"),
        ("{SeriesNumber}/", "relative"),
        ("../{SeriesNumber}", "dotted"),
        ("a//{SeriesNumber}", "empty"),
        ("{SeriesNumbre}", "did you mean SeriesNumber"),
        ("{PixelData}", "does not keep"),
        ("{InstanceNumber}", "not one value"),
        ("{ProcedureCodeSequence}", "not one value"),
        ("{SeriesNumber:.3f}", "does not suit"),
        ("{Modality:04d}", "does not suit"),
        ("{Modality!r}", "does not suit"),
        ("{SeriesNumber", "cannot be read"),
        ("{}", "does not keep"),
        ("{Modality.__class__}", "does not keep"),
    ],
)
def test_templates_that_are_refused(template: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_template(template)


@given(st.text(max_size=600), st.text(max_size=600))
def test_whatever_peers_write_stays_inside(description: str, modality: str) -> None:
    values = {**VALUES, "SeriesDescription": description, "Modality": modality}
    template = "{SeriesDescription}/{Modality}_{SeriesDescription}"
    folder, stem = render_name(template, values).split("/")
    for component in (folder, stem):
        assert component.strip(".") != ""
        assert not component.startswith(".")
        assert component.isprintable()
        assert "\\" not in component
    assert len(folder.encode()) <= MAX_COMPONENT_BYTES
    assert len(stem.encode()) <= MAX_COMPONENT_BYTES - SUFFIX_BYTES


BIDS = "sub-{PatientID}/ses-{StudyDate}/anat/sub-{PatientID}_ses-{StudyDate}_T1w"


def test_labels_of_bids_are_letters_and_digits() -> None:
    name = render_name(BIDS, {"PatientID": "AB12", "StudyDate": "20250102"})
    assert name == "sub-AB12/ses-20250102/anat/sub-AB12_ses-20250102_T1w"
    assert render_name(BIDS, {}) == "sub-unnamed/ses-unnamed/anat/sub-unnamed_ses-unnamed_T1w"


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_two_patients_never_become_one_subject(one: str, other: str) -> None:
    names = [
        render_name(BIDS, {"PatientID": text, "StudyDate": "20250102"}) for text in (one, other)
    ]
    assert (names[0] == names[1]) == (one == other)
    for name in names:
        assert re.fullmatch(r"sub-[A-Za-z0-9]+_ses-20250102_T1w", name.rpartition("/")[2])
