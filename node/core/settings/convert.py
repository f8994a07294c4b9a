"""`convert:` in the settings: the defaults of `rasnode convert`'s options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from node.core.errors import ConfigError
from node.core.settings.filename_codes import check_codes

_WORDS = {
    **dict.fromkeys(("1", "yes", "true", "on"), "y"),
    **dict.fromkeys(("0", "no", "false", "off"), "n"),
}
_NO_3D = "3 is not available: take n, and split the 4D files afterwards, with fslsplit for example"


def taking(*allowed: str, refused: Mapping[str, str] | None = None) -> BeforeValidator:
    """Return a validator for one of some letters; yes, true and 1 mean y.

    Args:
        allowed: the letters and digits.
        refused: dcm2niix's other letters, and what to do instead.
    """

    def check(value: Any) -> str:
        text = str(value).strip().lower()
        for one in (text, _WORDS.get(text, "")):
            if one in allowed:
                return one
            if refused and one in refused:
                raise ValueError(refused[one])
        raise ValueError(f"one of {', '.join(allowed)}")

    return BeforeValidator(check)


def _template(value: str) -> str:
    try:
        check_codes(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return value


class ConvertSettings(BaseModel):
    """Defaults for `rasnode convert`; the keys are its long options.

    Attributes:
        compress: y, o and i all give .nii.gz by the same code; n gives .nii.
        merge: 2 is dcm2niix's automatic merging, which is the default.
        write_behavior: if a file exists: 0 keeps it, 1 overwrites it, 2 takes another name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: Annotated[str, AfterValidator(_template)] = "%4s_%d"
    compress: Annotated[str, taking("y", "o", "i", "n", refused={"3": _NO_3D})] = "y"
    level: Annotated[int, Field(ge=1, le=9)] = 1
    sidecar: Annotated[str, taking("y", "n", "o")] = "y"
    anonymize: Annotated[str, taking("y", "n", "o")] = "y"
    comment: str = ""
    depth: Annotated[int, Field(ge=0, le=99)] = 99
    ignore: Annotated[str, taking("y", "n", "o")] = "n"
    merge: Annotated[str, taking("n", "y", "2")] = "2"
    precise: Annotated[
        str,
        taking("y", "n", refused={"o": "o is not available: a scale is never left out; take y"}),
    ] = "y"
    text: Annotated[str, taking("y", "n")] = "n"
    verbose: Annotated[str, taking("n", "y", "2")] = "n"
    write_behavior: Annotated[str, taking("0", "1", "2")] = "2"
    ignore_trigger_times: bool = False
    resample_tilt: bool = False
    resample_unequal: bool = False
