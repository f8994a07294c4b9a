"""What published files have to be."""

from __future__ import annotations

from pathlib import Path

from node.lifecycle.assembly.fingerprint import digests_of_images
from node.storage.index.series.verification import Outputs


def digests_of(outputs: Outputs, folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a revision, by its name relative to the output folder; empty for
    a file of which only is known that it was there.

    Args:
        folder: the output folder. Of what an earlier version of rasnode published, the manifests
            there know the images.
    """
    if outputs.digests is not None:
        return outputs.digests
    known = digests_of_images(folder, outputs.files)
    return {name: known.get(name, "") for name in outputs.files}
