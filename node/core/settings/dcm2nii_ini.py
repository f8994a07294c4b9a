"""Translate dcm2niix's defaults file, `.dcm2nii.ini`, into the `convert:` section."""

from __future__ import annotations

import json
import re
from typing import Final

from node.core.errors import ConfigError

_LINE: Final = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*")
_COMMENT: Final = ("#", ";", "[")
_KEYS: Final = {"isGZ": "compress", "isBIDS": "sidecar", "filename": "filename"}
_RANGE: Final = "isMaximize16BitRange"
_AS_STORED: Final = "2"


def is_ini(text: str) -> bool:
    """Tell whether a file is an ini file: its first line besides comments is `key=value`."""
    lines = (line for line in text.splitlines() if line.strip())
    first = next((line for line in lines if not line.strip().startswith(_COMMENT)), "")
    return _LINE.fullmatch(first) is not None


def translated(text: str, where: str) -> str:
    """Return the file as YAML with the same lines, so that messages name the right line.

    Args:
        text: text of the file.
        where: name of the file in messages.

    Raises:
        ConfigError: it asks for stretched integers, or a line is not `key=value`.
    """
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if not line.strip() or line.strip().startswith(_COMMENT):
            lines.append("")
        elif match is None:
            raise ConfigError(f"{where}, line {number}: it should read key=value.")
        elif match[1] == _RANGE:
            if match[2] != _AS_STORED:
                raise ConfigError(
                    f"{where}, line {number}: {_RANGE}={match[2]} is not available: stored values "
                    f"are kept as they are, which is {_AS_STORED}."
                )
            lines.append("")
        else:
            lines.append(f"{_KEYS.get(match[1], match[1])}: {json.dumps(match[2])}")
    return "\n".join(lines) + "\n"
