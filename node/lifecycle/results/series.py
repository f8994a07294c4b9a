"""What a series offers to results: its volumes' manifests, its headers, its archived instances."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from glob import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from node.assemble.frames.model import decode_header
from node.convert import InstanceSource
from node.convert.results.refusals import Refusal, ResultError
from node.convert.results.volume_grids import Find, finder
from node.convert.sources import data_set
from node.core.records import SeriesRecord, StoredInstance
from node.deliver.published_files import MANIFEST
from node.dicom.file_meta import file_meta
from node.storage.index.series.work import Work

_KEPT_HEADERS: Final = 4
"""Data sets that are kept once they are read; each slice asks for its own once."""


class ResultSeries:
    """One series that results refer to.

    Args:
        work: the index.
        archive: the folder that the instances' paths are relative to.
        output: the folder of the volumes.
        address: a Series Instance UID, or `SeriesRecord.address`.

    Raises:
        ResultError: `no-such-series`.
    """

    def __init__(self, work: Work, archive: Path, output: Path, address: str) -> None:
        record = work.series(address)
        if record is None:
            raise ResultError(
                Refusal.NO_SUCH_SERIES,
                f"There is no series {address}; `rasnode status` lists those there are.",
            )
        self.record: SeriesRecord = work.standing(record)
        self._work = work
        self._archive = archive
        self._output = output
        self.header = lru_cache(maxsize=_KEPT_HEADERS)(self._header)

    @property
    def images(self) -> list[Path]:
        """The NIfTI files of its volumes."""
        names = self.record.outputs
        return [self._output / name for name in names if name.endswith((".nii.gz", ".nii"))]

    @property
    def manifests(self) -> list[Mapping[str, Any]]:
        """Of its volumes as they are."""
        paths = [self._output / name for name in self.record.outputs if name.endswith(MANIFEST)]
        return [one for path in paths if (one := self._manifest(path))]

    @property
    def earlier(self) -> list[Mapping[str, Any]]:
        """Manifests of earlier revisions, the latest first, as far as they are kept."""
        found = [one for path in self._kept() if (one := self._manifest(path))]
        return sorted(found, key=lambda one: -int(one.get("revision", 0)))

    def _kept(self) -> Iterator[Path]:
        stems = set(self._work.stems(self.record.pk))
        stems |= {name.removesuffix(MANIFEST) for name in self.record.outputs
                  if name.endswith(MANIFEST)}  # fmt: skip
        for stem in sorted(stems):
            path = self._output / stem
            yield from path.parent.glob(f"{escape(path.name)}.manifest.r*.json")

    def _manifest(self, path: Path) -> Mapping[str, Any]:
        """Return a manifest, if it is one of this series."""
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return {}
        mine = isinstance(found, dict) and found.get("series_instance_uid") in self._uids
        return {**found, "path": str(path)} if mine else {}

    @cached_property
    def _uids(self) -> set[str]:
        """Its UID, and those of the other series of its run: manifests name the first volume's."""
        return {self.record.uid, *(one.uid for one in self._work.members(self.record.pk))}

    @cached_property
    def _instances(self) -> dict[str, StoredInstance]:
        found = self._work.instances(self.record.pk)
        return {one.sop_instance_uid: one for one in found if not one.conflict}

    @property
    def find(self) -> Find:
        """The look-up of its frames' headers."""
        return finder(decode_header(one.header) for one in self._instances.values())

    def _header(self, uid: str) -> Dataset:
        """Return the data set of an archived instance, compared with what was received.

        Args:
            uid: its SOP Instance UID.

        Raises:
            ResultError: `unreadable-source`.
            AssemblyError: the file is not what was received.
        """
        one = self._instances.get(uid)
        if one is None:
            raise ResultError(
                Refusal.UNREADABLE_SOURCE, f"SOP Instance {uid} is not in the archive any more."
            )
        source = InstanceSource(
            decode_header(one.header),
            str(self._archive / one.path),
            one.data_set_offset,
            one.transfer_syntax_uid,
            one.pixel_offset,
            one.pixel_length,
            one.sha256,
            one.crc32,
        )
        meta = file_meta(one.sop_class_uid, uid, one.transfer_syntax_uid)
        whole = BytesIO(meta + data_set(source))
        try:
            read = dcmread(whole, stop_before_pixels=True)
            read.walk(lambda _data_set, _element: None)  # what is read later is read now
        except Exception as error:
            raise ResultError(
                Refusal.UNREADABLE_SOURCE,
                f"SOP Instance {uid} cannot be read ({type(error).__name__}).",
            ) from error
        return read
