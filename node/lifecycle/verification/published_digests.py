"""The digests that published files must have."""

from __future__ import annotations

from pathlib import Path

from node.lifecycle.assembly.fingerprint import digests_of_images
from node.storage.index.series.verification import Outputs


def digests_of(outputs: Outputs, folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a revision.

    Args:
        outputs: the revision in the index.
        folder: the output folder. The index has no digests of what early versions of rasnode
            published; manifests there have those of the images.

    Returns:
        the digests by the files' names, relative to the output folder; empty if not known.
    """
    if outputs.digests is not None:
        return outputs.digests
    known = digests_of_images(folder, outputs.files)
    return {name: known.get(name, "") for name in outputs.files}
