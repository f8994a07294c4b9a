"""dcm2niix's % codes for file names, which `rasnode convert` takes too."""

from __future__ import annotations

import re
from typing import Final

from node.core.errors import ConfigError

CODE: Final = re.compile(r"%(\d?)(.)")
"""A code with its width; dcm2niix takes letters of either case."""
UNSAFE: Final = re.compile(r"[^\w.+\-=@^()~]+|_{2,}")
"""What no name keeps: signs that mean something to a shell, a path or an URL, and blanks."""
FACTS: Final = {
    "c": "ImageComments",
    "d": "SeriesDescription",
    "g": "AccessionNumber",
    "i": "PatientID",
    "n": "PatientName",
    "p": "ProtocolName",
    "x": "StudyID",
    "z": "SequenceName",
}
"""Codes for a fact of the series, by its name in the sidecar."""
OTHERS: Final = frozenset("abefjkmorstuv%")


def check_codes(template: str) -> None:
    """Refuse a template that names nothing, or has a code that nobody knows.

    Raises:
        ConfigError: with the code that is wrong.
    """
    for _, code in CODE.findall(template):
        if code.lower() == "h":
            raise ConfigError(
                f"%{code} is not available: give the names of a BIDS dataset yourself, such as "
                "sub-%i/anat/sub-%i_T1w."
            )
        if code.lower() not in FACTS and code.lower() not in OTHERS:
            known = " ".join(f"%{one}" for one in sorted((*FACTS, *OTHERS)))
            raise ConfigError(f"%{code} is no code for file names; there are {known}.")
    if not UNSAFE.sub("", template.replace("/", "")).strip("_."):
        raise ConfigError("The file name template is empty.")
