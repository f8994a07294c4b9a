"""dcm2niix's % codes for file names, which `rasnode convert` accepts."""

from __future__ import annotations

import re
from typing import Final

from node.core.errors import ConfigError

CODE: Final = re.compile(r"%(\d?)(.)")
"""A code with its width; dcm2niix takes letters of either case."""
UNSAFE: Final = re.compile(r"[^\w.+\-=@^()~]+|_{2,}")
"""Characters that are replaced in names: blanks, and those with a meaning in a shell, path or
URL."""
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
"""Codes of facts of the series, by the name in the sidecar."""
OTHERS: Final = frozenset("abefjkmorstuv%")


def check_codes(template: str) -> None:
    """Refuse a template that is empty or has an unknown code.

    Raises:
        ConfigError: names the wrong code.
    """
    for _, code in CODE.findall(template):
        if code.lower() == "h":
            raise ConfigError(
                f"%{code} is not available: give the names of a BIDS dataset yourself, such as "
                "sub-%i/anat/sub-%i_T1w."
            )
        if code.lower() not in FACTS and code.lower() not in OTHERS:
            known = " ".join(f"%{one}" for one in sorted((*FACTS, *OTHERS)))
            raise ConfigError(f"%{code} is not a code for file names; the codes are {known}.")
    if not UNSAFE.sub("", template.replace("/", "")).strip("_."):
        raise ConfigError("The file name template is empty.")
