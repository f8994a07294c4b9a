"""A node's volumes for training: a map-style dataset over its ready series.

    dataset = SeriesDataset("/etc/rasnode/config.yaml", when={"Modality": "CT"})
    loader = torch.utils.data.DataLoader(dataset, batch_size=1, num_workers=4)

It is a `torch.utils.data.Dataset` where torch is installed, and needs torch for its samples.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node.assemble.space import Matrix
from node.convert.loading.handover import as_tensor, channels_first
from node.convert.loading.published import manifest_beside, open_volume
from node.core.conditions.conditions import Conditions
from node.core.conditions.values import ConditionValues
from node.core.errors import ConfigError
from node.core.records import SeriesRecord, SeriesState, Verdict
from node.core.settings.file import load_settings
from node.core.settings.model import Settings
from node.storage import index_completeness
from node.storage.identity import refuse_foreign
from node.storage.index.engine import Index
from node.storage.index.series.work import Work

__all__ = ["SeriesDataset", "SeriesItem"]

Patterns = Mapping[str, str | Sequence[str]]
CACHE_BYTES: Final = 32 << 30
"""That decompressed volumes may take on the disk, if nothing else is said."""
IMAGE_ENDINGS: Final = (".nii.gz", ".nii")
OUTPUT: Final = "nifti"
_STATEMENT_SECONDS: Final = 600.0


def _torch_dataset() -> type[Any]:
    try:
        found: type[Any] = import_module("torch.utils.data").Dataset
    except ImportError:
        return object
    return found


_Dataset: Any = _torch_dataset()


class SeriesItem(NamedTuple):
    """One volume of a ready series.

    Attributes:
        series: Series Instance UID, or address of a further series of that UID.
        study: Study Instance UID.
        revision: of the series when the dataset was made or refreshed.
        image: the NIfTI.
    """

    series: str
    study: str
    revision: int
    image: Path


class SeriesDataset(_Dataset):  # type: ignore[misc]
    """The volumes of a node's ready series, as samples.

    A sample is a mapping: `image` (tensor, float32, (1, i, j, k)), `affine` ((4, 4) voxel -> RAS
    mm), `series_instance_uid`, `study_instance_uid`, `revision` and `path`. What is read is the
    revision that is published when it is read, and `revision` is that one's.

    Args:
        config: the node's configuration; None: as the commands find it.
        when: attributes that a series has to have, as in `deliver.when`: keyword to a pattern, or
            several of which any may match.
        unless: attributes that it must not have.
        transform: applied to every sample.
        cache: a folder for decompressed volumes, by revision: what was made again is read again.
        cache_bytes: how much it may hold; what was not used for the longest time goes.

    Raises:
        ConfigError: the configuration is wrong, or no node has run with it.
        ValueError: a key of `when` or `unless` is nothing that series are matched by.
    """

    def __init__(
        self,
        config: str | PathLike[str] | None = None,
        *,
        when: Patterns | None = None,
        unless: Patterns | None = None,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        cache: str | PathLike[str] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._config = None if config is None else Path(config)
        self._conditions = Conditions(_listed(when), _listed(unless))
        self._conditions.check()
        self._transform = transform
        self._cache = None if cache is None else _Cache(Path(cache), cache_bytes)
        self.items: tuple[SeriesItem, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """List the ready series again; numbers of samples may then mean other volumes."""
        settings = load_settings(self._config)
        with _index(settings) as index:
            work = Work(index)
            found = [
                item
                for record in work.in_state(SeriesState.READY)
                if not self._conditions.refusal(_values(work, record))
                for item in _items(record, settings)
            ]
        self.items = tuple(sorted(found))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        item = self.items[number]
        manifest = manifest_beside(item.image)
        values, affine = self._read(item.image, manifest)
        sample = {
            "image": as_tensor(values, affine),
            "affine": affine,
            "series_instance_uid": item.series,
            "study_instance_uid": item.study,
            "revision": int(manifest.get("revision", item.revision)),
            "path": str(item.image),
        }
        return sample if self._transform is None else self._transform(sample)

    def _read(
        self, image: Path, manifest: Mapping[str, Any]
    ) -> tuple[npt.NDArray[np.float32], Matrix]:
        key = _key(manifest)
        kept = self._cache.find(key) if self._cache is not None else None
        if kept is not None:
            return kept, np.asarray(manifest["affine"], np.float64).astype(np.float32).astype(float)
        volume = open_volume(image)
        values = channels_first(volume.array)
        if self._cache is not None:
            self._cache.keep(_key(volume.manifest), values)
        return values, volume.affine


class _Cache:
    """Arrays in files of a folder, mapped when they are read.

    Args:
        folder: of its own.
        most: bytes that it may hold.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, key: str) -> npt.NDArray[np.float32] | None:
        path = self._folder / f"{key}.npy"
        try:
            found: npt.NDArray[np.float32] = np.load(path, mmap_mode="c")
            os.utime(path)
        except (OSError, ValueError, EOFError):
            return None
        return found

    def keep(self, key: str, values: npt.NDArray[np.float32]) -> None:
        if values.nbytes > self._most:
            return
        part = self._folder / f"{uuid.uuid4().hex}.part"
        try:
            with part.open("xb") as file:
                np.save(file, values)
            part.replace(self._folder / f"{key}.npy")
        finally:
            part.unlink(missing_ok=True)
        self._shrink()

    def _shrink(self) -> None:
        """Remove what was not used for the longest time; another process may do it, too."""
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*.npy"):
            with suppress(FileNotFoundError):
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        held = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if held <= self._most:
                return
            path.unlink(missing_ok=True)
            held -= size


def _key(manifest: Mapping[str, Any]) -> str:
    """Name a volume of one revision; nothing of a patient is in the name."""
    parts = (manifest.get(name) for name in ("series_instance_uid", "revision", "image", "sha256"))
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:40]


def _listed(patterns: Patterns | None) -> dict[str, tuple[str, ...]]:
    return {
        key: (value,) if isinstance(value, str) else tuple(map(str, value))
        for key, value in (patterns or {}).items()
    }


@contextmanager
def _index(settings: Settings) -> Iterator[Index]:
    root = settings.storage.root
    if settings.database.url is None and not (root / "index.db").exists():
        raise ConfigError(
            f"there is no index in {root} (storage.root): no node has run with it yet"
        )
    index = Index(settings.database_url(), statement_seconds=_STATEMENT_SECONDS)
    try:
        refuse_foreign(index, root)
        index_completeness.check(index, root)
        yield index
    finally:
        index.close()


def _values(work: Work, record: SeriesRecord) -> ConditionValues:
    """What the conditions are compared with."""
    return ConditionValues(
        attributes=work.attributes(record.pk),
        calling=tuple(one.calling_ae for one in work.arrivals(record.pk)),
        verdict=str((record.verdict or {}).get("verdict", Verdict.UNKNOWN)),
    )


def _items(record: SeriesRecord, settings: Settings) -> Iterator[SeriesItem]:
    output = settings.storage.root.absolute() / OUTPUT
    for name in record.outputs:
        if name.endswith(IMAGE_ENDINGS):
            yield SeriesItem(record.address, record.study_uid, record.revision, output / name)
