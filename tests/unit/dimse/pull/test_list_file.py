"""Lists of what is to be fetched, as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.core.errors import ConfigError
from node.dimse.pull.list_file import read_list


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_spreadsheets_write(tmp_path: Path, separator: str, end: str, mark: str) -> None:
    lines = ["PatientID;StudyDate", "Ä1;20240101", "", ' x ;""'.replace("'", '"'), '"a;b";']
    text = mark + end.join(lines).replace('"a;b"', '"a b"').replace(";", separator) + end
    assert read_list(written(tmp_path, text)) == [
        (2, {"PatientID": "Ä1", "StudyDate": "20240101"}),
        (4, {"PatientID": "x"}),
        (5, {"PatientID": "a b"}),
    ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "is empty"),
        ("PatientID\n", "no row"),
        ("1.2.3\n4.5.6\n", "header"),
        ("PatientID,Color\n1,2\n", "Color"),
        ("PatientID,PatientID\n1,2\n", "twice"),
        ("PatientID\n1\n1,2\n", "line 3"),
        ("PatientID,StudyDate\n1,20240101\n,\n", "line 3"),
        ("StudyInstanceUID\n1.2\nabc\n", "line 3"),
        ("StudyDate\n20240101\n2024-01-01\n", "line 3"),
        (b"PatientID\n\xff\n", "line 2"),
        ('PatientID\n"1\n', "line"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: str | bytes, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read_list(written(tmp_path, content))


def test_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_list(tmp_path / "list.csv")
