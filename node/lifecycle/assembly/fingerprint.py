"""A digest of a volume's files by which one revision is told from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from node.convert.quality import QUALITY
from node.core.system.disk import file_sha256
from node.deliver.published_files import MANIFEST

_NOT_OF_THE_VOLUME = ("revision", "verdict", "evidence", "rasnode", "refused")
"""Keys of a manifest that may differ although the volume does not."""
_OF_THE_VOLUME = (".json", ".bval", ".bvec", ".tsv")
"""Files whose bytes count. What is measured and drawn only has to be there: rounding may differ."""
_COMPRESSED = ".nii.gz"
_TRAILER_BYTES = 8
"""CRC-32 and size of the data that were compressed (RFC 1952 2.3.1)."""


def fingerprint(folder: Path, files: Iterable[str]) -> str:
    """A digest of everything by which one revision of a volume can differ from another.

    An uncompressed image is included by the SHA-256 in its manifest, a compressed one by size and
    CRC-32 of its uncompressed data: compression may, very rarely, give other bytes.

    Args:
        folder: where the files are.
        files: their names.

    Returns:
        a SHA-256 in hexadecimal.

    Raises:
        OSError, ValueError: a file is missing, or the manifest cannot be read.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        if name.endswith(MANIFEST):
            manifest = json.loads((folder / name).read_bytes())
            kept = {key: manifest[key] for key in manifest if key not in _NOT_OF_THE_VOLUME}
            if str(kept.get("image", "")).endswith(_COMPRESSED):
                kept.pop("sha256", None)
            digest.update(json.dumps(kept, sort_keys=True).encode())
        elif name.endswith(_OF_THE_VOLUME) and not name.endswith(QUALITY):
            digest.update((folder / name).read_bytes())
        elif name.endswith(_COMPRESSED):
            digest.update(_trailer(folder / name))
        elif not (folder / name).is_file():
            raise FileNotFoundError(name)
    return digest.hexdigest()


def fingerprint_of_all(folder: str, volumes: Iterable[tuple[str, str]]) -> str:
    """The digest of all volumes of a revision.

    Args:
        folder: where they are, relative to the output folder.
        volumes: stem and fingerprint of each.

    Returns:
        a SHA-256 in hexadecimal.
    """
    parts = sorted(f"{joined(folder, stem)} {one}" for stem, one in volumes)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def joined(folder: str, name: str) -> str:
    """The name of a file relative to the output folder.

    Args:
        folder: the folder that it is in, relative to the output folder; empty: that folder itself.
        name: its name in the folder.
    """
    return f"{folder}/{name}" if folder else name


def digests(folder: Path, files: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of each file.

    Args:
        folder: where the files are.
        files: their names.
        known: digests that are known already, by name.

    Returns:
        all of them, by name.

    Raises:
        OSError: a file cannot be read.
    """
    return {name: known.get(name) or file_sha256(folder / name) for name in files}


def digests_of_images(folder: Path, files: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of images according to the manifests beside them.

    Args:
        folder: where the files are.
        files: their names; those that are not readable manifests are ignored.

    Returns:
        the digests, by the names of the images.
    """
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
