"""Write the licences of all pinned packages: `python notices.py run.txt THIRD-PARTY-NOTICES.txt`.

The packages have to be installed in the environment whose Python runs this. Their texts are those
that come with them; a package without one is named with the licence that it declares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

_TEXT: Final = re.compile(
    r"(^|/)((un)?licen[cs]e|copying|notice|authors)[^/]*$|\.dist-info/licen[cs]es/", re.IGNORECASE
)
_CODE: Final = frozenset({".py", ".pyc", ".pyi", ".so"})
_RULE: Final = "=" * 100
_HEAD: Final = """\
Third-party notices of rasnode

rasnode itself is under the Apache License 2.0. It installs the packages below, each under a
licence of its own, whose texts follow as they come with the packages. Python and the operating
system are not listed: in the container image their licences are in
/usr/local/lib/python3.*/LICENSE.txt and /usr/share/doc/*/copyright.
"""


def pinned(requirements: str) -> Iterator[Requirement]:
    """The pinned packages that this Python and this system need."""
    for line in re.findall(r"^[A-Za-z0-9][^\\\n]*==[^\\\n]*", requirements, re.MULTILINE):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def texts(package: Distribution) -> list[tuple[str, str]]:
    """Names and contents of the licence files that a package has."""
    return [
        (str(file), Path(file.locate()).read_text("utf-8", "replace").strip())
        for file in sorted(package.files or [], key=str)
        if _TEXT.search(str(file)) and file.suffix not in _CODE
    ]


def licence(package: Distribution) -> str:
    """The licence that a package declares."""
    said = package.metadata
    declared = said.get("License-Expression") or (said.get("License") or "").partition("\n")[0]
    classifiers = [
        one.rpartition(" :: ")[2]
        for one in said.get_all("Classifier") or []
        if one.startswith("License ::")
    ]
    return declared if declared and "Copyright" not in declared else ", ".join(classifiers)


def notices(requirements: str) -> str:
    """All of them as one text.

    Raises:
        PackageNotFoundError: a pinned package is not installed.
        SystemExit: a package has no text and declares no licence, or has another version.
    """
    parts = [_HEAD]
    for requirement in pinned(requirements):
        package = distribution(requirement.name)
        if not requirement.specifier.contains(package.version):
            sys.exit(f"{requirement.name} {package.version} is installed, not {requirement}")
        kept, declared = texts(package), licence(package)
        if not kept and not declared:
            sys.exit(f"{requirement.name} has no licence text and declares no licence")
        title = f"{requirement.name} {package.version}" + (f": {declared}" if declared else "")
        parts.append(f"{_RULE}\n{title}\n{_RULE}\n")
        parts += [f"{name}\n\n{text}\n" for name, text in kept]
        if not kept:
            parts.append("The package comes without a licence text.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(notices(source.read_text()))
