"""What tells one revision of a volume from another, from its files wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from node.core.system.disk import file_sha256
from node.deliver.publish import MANIFEST

_OF_THE_OCCASION = ("revision", "verdict", "evidence", "rasnode", "refused")
"""What a manifest says of how it came about: it may differ although the volume does not."""
_COMPRESSED = ".nii.gz"
_TRAILER_BYTES = 8
"""CRC-32 and size of what was compressed (RFC 1952 2.3.1)."""


def fingerprint(folder: Path, files: Iterable[str]) -> str:
    """A digest of everything by which one revision of a volume can differ from another.

    The image is in it by the SHA-256 that its manifest has; a compressed one by its size and CRC-32
    before that, as the same volume may, if very rarely, be compressed otherwise.

    Raises:
        OSError, ValueError: a file is not there, or the manifest cannot be read.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        if name.endswith(MANIFEST):
            manifest = json.loads((folder / name).read_bytes())
            told = {key: manifest[key] for key in manifest if key not in _OF_THE_OCCASION}
            if str(told.get("image", "")).endswith(_COMPRESSED):
                told.pop("sha256", None)
            digest.update(json.dumps(told, sort_keys=True).encode())
        elif name.endswith((".json", ".bval", ".bvec", ".tsv")):
            digest.update((folder / name).read_bytes())
        elif name.endswith(_COMPRESSED):
            digest.update(_trailer(folder / name))
        elif not (folder / name).is_file():
            raise FileNotFoundError(name)
    return digest.hexdigest()


def fingerprint_of_all(folder: str, made: Iterable[tuple[str, str]]) -> str:
    """The digest of all volumes of a revision.

    Args:
        folder: where they are, relative to the output folder.
        made: stem and fingerprint of each.
    """
    parts = sorted(f"{joined(folder, stem)} {one}" for stem, one in made)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def joined(folder: str, name: str) -> str:
    """A name relative to the output folder."""
    return f"{folder}/{name}" if folder else name


def digests(folder: Path, files: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of each file.

    Args:
        known: those that are known already, by name.
    """
    return {name: known.get(name) or file_sha256(folder / name) for name in files}


def digests_of_images(folder: Path, files: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of images, by their names, as the manifests beside them say."""
    found = {}
    for name in files:
        if name.endswith(MANIFEST):
            try:
                manifest = json.loads((folder / name).read_bytes())
                image = str(PurePosixPath(name).with_name(str(manifest["image"])))
                found[image] = str(manifest["sha256"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return found


def _trailer(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TRAILER_BYTES))
        return file.read()
