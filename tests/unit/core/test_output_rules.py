"""Rules that name volumes: what their conditions match, and what the configuration refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.core.errors import ConfigError
from node.core.output_rules import OutputRule
from node.core.settings.file import load_settings
from node.core.settings.model import Settings

BOLD = {"Modality": ("MR",), "Volumes": ("20",), "Diffusion": ("False",), "Kind": ("magnitude",)}


def rule(when: dict[str, tuple[str, ...]], unless: dict[str, tuple[str, ...]]) -> OutputRule:
    return OutputRule(when, unless, "{SeriesNumber}")


@pytest.mark.parametrize(
    ("when", "unless", "mismatch"),
    [
        ({"Volumes": (">1",)}, {}, ""),
        ({"Volumes": (">=20",)}, {}, ""),
        ({"Volumes": (">20",)}, {}, "Volumes is '20', not >20"),
        ({"Volumes": ("<= 19", "20")}, {}, ""),
        ({"Volumes": ("1",)}, {}, "Volumes is '20', not 1"),
        ({"Volumes": ("<3",)}, {}, "Volumes is '20', not <3"),
        ({"Modality": ("m?",), "Diffusion": ("false",)}, {}, ""),
        ({}, {"Kind": ("phase", "mag*")}, "Kind is 'magnitude', which is left out"),
        ({"ProtocolName": ("*",)}, {}, "ProtocolName is absent, not *"),
        ({"Kind": (">1",)}, {}, "Kind is 'magnitude', not >1"),
        ({}, {}, ""),
    ],
)
def test_conditions_compare_patterns_and_numbers(
    when: dict[str, tuple[str, ...]], unless: dict[str, tuple[str, ...]], mismatch: str
) -> None:
    assert rule(when, unless).mismatch(BOLD) == mismatch


def settings_of(tmp_path: Path, text: str) -> list[OutputRule]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return [one.rule() for one in load_settings(file).output.rules]


def test_rules_are_read_in_their_order(tmp_path: Path) -> None:
    found = settings_of(
        tmp_path,
        """
output:
  rules:
    - when: {Volumes: ">1", Diffusion: false}
      name: "{SeriesNumber}_bold"
    - when: {SeriesDescription: "*loc*"}
      name: null
    - {use: reproin, participant: "{AccessionNumber}"}
""",
    )
    assert [one.name for one in found] == ["{SeriesNumber}_bold", None, None]
    assert found[0].when == {"Volumes": (">1",), "Diffusion": ("False",)}
    assert (found[2].use, found[2].participant) == ("reproin", "{AccessionNumber}")


def test_a_rule_set_alone_may_be_named(tmp_path: Path) -> None:
    text = "output: {rules: reproin, identifiers: true}"
    assert [one.use for one in settings_of(tmp_path, text)] == ["reproin"]


@pytest.mark.parametrize(
    ("rules", "line", "complaint"),
    [
        ("    - when: {Volume: 1}\n      name: '{SeriesNumber}'", 3, "did you mean Volumes?"),
        ("    - when: {Volumes: '>x'}\n      name: '{SeriesNumber}'", 3, "compares with no number"),
        ("    - when: {}\n      name: '{SeriesNumbre}'", 4, "did you mean SeriesNumber?"),
        ("    - when: {}\n      name: 'constant'", 4, "the same name"),
        ("    - when: {Modality: MR}", 3, "needs either a name"),
        ("    - {use: reproin, name: '{SeriesNumber}'}", 3, "needs either a name"),
        ("    - {name: '{SeriesNumber}', participant: '{PatientID}'}", 3, "belongs to use"),
        ("    - {use: reproin, participant: 'x'}", 3, "must have an attribute"),
        ("    - {use: repoin, participant: '{PatientID}'}", 3, "reproin"),
        ("    - reproin", 3, "contain the PatientID"),
        ("    - {naem: '{SeriesNumber}'}", 3, "did you mean"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, rules: str, line: int, complaint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_of(tmp_path, f"output:\n  rules:\n{rules}\n")
    assert f"line {line}" in str(refused.value)
    assert complaint in str(refused.value)


def test_settings_pass_to_another_process_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "output: {rules: [{use: reproin, participant: '{PatientID}'}, "
        "{when: {Echo: 1}, name: null}]}"
    )
    settings = load_settings(file)
    assert Settings.model_validate(settings.model_dump()) == settings
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings
